"""The output of a Prepare: held by one process at a time, and filled with all its stores or none.

Stores are renamed into place one after another. Before the first rename, publish.json in the folder of parts names them
with their digests. So a Prepare that was killed between two renames is finished by the next one.
"""

import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

from emprot_core.data.store import StoreError
from emprot_core.disk import make_directory, sync_directory, try_lock
from emprot_core.files import Damaged, read_hashed_json, sha256, write_hashed_json


@contextmanager
def held(output: Path, is_shared: bool = False) -> Iterator[None]:
    """Hold a folder, which is made if there is none, against every other Prepare.

    Args:
        is_shared: against all but those that share it, which are the shards of one Prepare.

    Raises:
        StoreError: another Prepare is writing there.
    """
    make_directory(output)
    folder = os.open(output, os.O_RDONLY | os.O_DIRECTORY)
    try:
        if not try_lock(folder, output, is_shared):
            raise StoreError(f"another Prepare is writing into {output}; wait for it, or bind another Prepare.output")
        yield
    finally:
        os.close(folder)
        with suppress(OSError):
            output.rmdir()  # if nothing was written


def publish(parts: Path, unseen: Path, output: Path, names: Mapping[str, Path]) -> None:
    """Rename the finished stores in `unseen` to their places.

    Args:
        names: the place of each store, by its name in `unseen`.
    """
    digests = {name: sha256(unseen / name / "store.json") for name in names}
    stores = {name: [place.name, digests[name]] for name, place in names.items()}
    write_hashed_json(parts / "publish.json", {"unseen": unseen.name, "stores": stores})
    _finish(parts, output, stores, unseen)


def discard(parts: Path) -> None:
    """Remove the folder of parts, whose stores are in place. A kill or an error leaves it to `finish_earlier`."""
    os.rename(parts, _discarded(parts))  # at once, so that nobody finds a part of them
    shutil.rmtree(_discarded(parts))


def finish_earlier(parts: Path, output: Path) -> bool:
    """Finish what a Prepare was about to publish, or to remove, when it was killed. Gives whether there was any."""
    if _discarded(parts).is_dir():
        shutil.rmtree(_discarded(parts))
        return True
    try:
        record = read_hashed_json(parts / "publish.json", stores=dict, unseen=str)
    except (FileNotFoundError, Damaged):
        return False
    _finish(parts, output, record["stores"], parts / record["unseen"])
    discard(parts)
    return True


def _discarded(parts: Path) -> Path:
    return parts.with_name(f"{parts.name}.done")


def _finish(parts: Path, output: Path, stores: Mapping[str, list[str]], unseen: Path) -> None:
    for name, (place, digest) in stores.items():
        store, final = unseen / name, output / place
        if (final / "store.json").is_file() and sha256(final / "store.json") == digest:
            continue
        if not store.is_dir():
            raise StoreError(
                f"{final} was to be published from {store}, which is gone; remove {parts} and prepare again"
            )
        if final.exists():  # the store that trajectories are added to
            os.rename(final, parts / f"replaced-{place}")
        os.rename(store, final)
    sync_directory(output)

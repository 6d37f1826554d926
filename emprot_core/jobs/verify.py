"""Checks every file of a run against the hash that was recorded when it was written."""

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from emprot_core.checkpoint import CheckpointError, CheckpointStore
from emprot_core.checkpoint.appended import APPENDED, faults_of
from emprot_core.files import Damaged, check_hashed, read_hashed_json, sha256

INDEX = "checkpoints/index.json"
LISTS = {"result.json": "", "baselines/index.json": "baselines/"}
"""The files whose entry "files" has the hashes of others, and the folder of those."""
SELF_HASHED = ("config.gin", "settings.json", "operative_config.gin", "non_finite.json", *LISTS, INDEX)
"""The files of a run directory that hold their own hash."""


def verify_run(directory: str | Path) -> list[str]:
    """One line per file of a run: `name: ok`, or `name: damaged: ...`.

    Files that a run appends to (metrics.jsonl, event files) are checked up to the size that the newest checkpoint
    recorded. run.log is for people and is not checked.

    Raises:
        CheckpointError: the directory holds no run.
    """
    directory = Path(directory)
    if not any((directory / name).exists() for name in (*SELF_HASHED, "checkpoints")):
        what = "holds no run" if directory.is_dir() else "is no directory" if directory.exists() else "does not exist"
        raise CheckpointError(f"{directory} {what}; give the directory of a run")
    store = CheckpointStore(directory / "checkpoints")
    files = (*_checkpoints(store), *_self_hashed(directory), *_listed(directory), *_appended(directory, store))
    return list(files)


def _checkpoints(store: CheckpointStore) -> Iterator[str]:
    index, wrong = store.index(), store.faults()
    for name in sorted({*index, *(path.name for path in store.directory.glob("*.pt"))}):
        if name not in index:
            yield f"checkpoints/{name}: not in index.json, so not used"
        else:
            yield f"checkpoints/{name}: {_damage(wrong[name]) if name in wrong else 'ok'}"


def _damage(what: str) -> str:
    return what.replace("is damaged", "damaged", 1) if what.startswith("is damaged") else f"damaged: it {what}"


def _self_hashed(directory: Path) -> Iterator[str]:
    for name in SELF_HASHED:
        try:
            check_hashed(directory / name)
            yield f"{name}: ok"
        except Damaged as damage:
            yield f"{name}: damaged: {damage}"
        except FileNotFoundError:
            if name == INDEX:
                yield f"{name}: damaged: it is missing"


def _listed(directory: Path) -> Iterator[str]:
    for name, folder in LISTS.items():
        with suppress(FileNotFoundError, Damaged):  # which _self_hashed tells
            for other, digest in read_hashed_json(directory / name).get("files", {}).items():
                path = directory / folder / other
                what = (
                    "it is missing" if not path.is_file() else "" if sha256(path) == digest else "its SHA-256 differs"
                )
                yield f"{folder}{other}: {f'damaged: {what}' if what else 'ok'}"


def _appended(directory: Path, store: CheckpointStore) -> Iterator[str]:
    newest = store.newest_valid()
    for hook in newest[1]["hooks"].values() if newest is not None else ():
        for name, measured in hook.get(APPENDED, {}).items():
            faults = faults_of(directory, {name: measured})
            yield f"{name}: {'damaged: ' + faults[0] if faults else 'ok'}"

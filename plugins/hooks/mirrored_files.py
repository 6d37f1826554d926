"""The files of a run and their copies behind an address, which lie in the same places.

mirror.json there lists the hashes that each file may have; "" stands for a file that is absent. A push first lists the
hashes of before and after, then puts the files, and then lists those of after alone. So a push that is killed leaves a
copy of which every byte can be checked. index.json and result.json are put last: they speak of whole files only.

mirror.json in the run directory says which copy is that of the run: {"run": id, "is_whole": false during a pull}.
"""

import hashlib
import logging
import shutil
import tempfile
import uuid
from pathlib import Path
from typing import Any

from emprot_core.checkpoint import CheckpointStore
from emprot_core.checkpoint.names import own_names
from emprot_core.errors import EmprotError
from emprot_core.files import (
    give_name,
    hashed_json,
    hashed_record,
    read_hashed_json,
    sha256,
    write_hashed_json,
    written_atomically,
)

from .remote_folder import RemoteFolder

RECORD = "mirror.json"
STEPS, INDEX = "checkpoints/step-", "checkpoints/index.json"
LAST = (INDEX, "result.json")
"""What is put last, in this order."""
NEVER = ("run.lock", RECORD)
_LOG_FILE = "run.log"
_WRITTEN_ONCE = (".pt", ".npz")
"""Large files that never change. The others are read into memory, as far as they were hashed."""
_log = logging.getLogger("emprot")


class MirroredFiles:
    """A run directory and its copy. Every method raises Unreachable if the address does not answer."""

    def __init__(self, url: str, directory: Path):
        """
        Raises:
            ModuleNotFoundError, StoreError: fsspec cannot open such an address.
        """
        self.directory, self._far = directory, RemoteFolder(url)
        self._writer, self._has_pushed = uuid.uuid4().hex, False
        self._hashed: dict[str, tuple[tuple[int, int], str]] = {}  # size and date of a file, and its hash

    def belong_together(self) -> bool:
        """Whether the directory holds a run that was pushed or pulled before."""
        return bool(self._own().get("is_whole"))

    def meet(self) -> None:
        """Look at both sides when a run starts: pull, or make sure that they belong together.

        Raises:
            EmprotError: the copy is of another run or ahead of this one, or a file of it is wrong.
        """
        own, there, url = self._own(), self._record(), self._far.url
        if there is None:
            if own and not own["is_whole"]:
                raise EmprotError(f"{url} is empty, but {self.directory} is half copied from there; remove it")
            run = own.get("run", uuid.uuid4().hex)
            self._write_record(run, {})
            self._set_own(run, is_whole=True)
            return
        holds_run = any((self.directory / name).exists() for name in ("config.gin", INDEX))
        if (own or holds_run) and there["files"] and own.get("run") != there["run"]:
            raise EmprotError(
                f"{url} has the copy of another run than that in {self.directory}; give each run an address of its "
                "own, or take an empty run.directory to go on with that copy"
            )
        newest = max((name for name in there["files"] if name.startswith(STEPS)), default="")
        if not own.get("is_whole"):
            self._pull(there)
        elif newest > max((name for name in self._names() if name.startswith(STEPS)), default=""):
            raise EmprotError(
                f"{url} is ahead of {self.directory}: it has {newest}; move the directory away, and the same command "
                "goes on from the copy"
            )

    def push(self) -> None:
        """Make the copy that of the directory as it is now.

        Raises:
            EmprotError: another process writes to the address too.
        """
        record = self._record()
        if record is not None and self._has_pushed and record["writer"] != self._writer:
            raise EmprotError(f"another process copies to {self._far.url} too; this one leaves it alone")
        before: dict[str, list[str]] = record["files"] if record is not None else {}
        now = {name: self._hash(name) for name in self._names()}
        after = {**dict.fromkeys(before, ""), **now}
        changed = {name: digest for name, digest in after.items() if before.get(name) != [digest]}
        if not changed:
            return
        run = self._own()["run"]
        self._write_record(run, {name: sorted({*before.get(name, [""]), digest}) for name, digest in after.items()})
        self._has_pushed = True
        for name in sorted(changed, key=_order):
            if changed[name]:
                self._far.put(name, self._content(name), is_new="" in before.get(name, [""]))
        for name, digest in changed.items():
            if not digest:
                self._far.remove(name)
        self._write_record(run, {name: [digest] for name, digest in now.items()})

    def _pull(self, record: dict[str, Any]) -> None:
        self._set_own(record["run"], is_whole=False)
        for name in sorted(record["files"], key=_order):
            path = self.directory / name
            if name in NEVER or not path.resolve().is_relative_to(self.directory.resolve()):
                raise EmprotError(f"{self._far.url}/{RECORD} names the file {name}, which is none of a run")
            if not (path.is_file() and sha256(path) in record["files"][name]):
                self._fetch(name, record["files"][name])
        folder = self.directory / "checkpoints"
        index = CheckpointStore(folder).index() if (self.directory / INDEX).exists() else {}
        written = {index[name]: folder / name for name in own_names(index)}
        for name, digest in index.items():
            if not (folder / name).exists():
                give_name(written[digest], folder / name)
        self._set_own(record["run"], is_whole=True)
        _log.info("copied %s to %s", self._far.url, self.directory)

    def _fetch(self, name: str, digests: list[str]) -> None:
        with tempfile.TemporaryFile(dir=self.directory) as copy:
            if self._far.copy_into(copy, name) not in {*digests} - {""}:
                if "" in digests:  # a push that was killed had not put it, or not all of it
                    return
                raise EmprotError(
                    f"{self._far.url}/{name} is not the file that {RECORD} speaks of; put that one back, or begin anew "
                    "with another run.directory and another url"
                )
            copy.seek(0)
            path = self.directory / name
            with path.open("ab") if name == _LOG_FILE else written_atomically(path) as file:  # the log is open already
                shutil.copyfileobj(copy, file)

    def _names(self) -> list[str]:
        """The files that are copied. best.pt and the like are further names of step files, and given after a pull."""
        steps = own_names(CheckpointStore(self.directory / "checkpoints").index())
        names = []
        for path in sorted(self.directory.rglob("*")):
            parts = path.relative_to(self.directory).parts
            is_hidden = any(part.startswith((".", "aside-")) for part in parts)
            is_copied = parts[0] != "checkpoints" or path.name in ("index.json", *steps)
            if path.is_file() and not path.is_symlink() and is_copied and not is_hidden and parts[0] not in NEVER:
                names.append("/".join(parts))
        return names

    def _hash(self, name: str) -> str:
        path = self.directory / name
        size, date = path.stat().st_size, path.stat().st_mtime_ns
        if name not in self._hashed or self._hashed[name][0] != (size, date):
            self._hashed[name] = ((size, date), "")
            content = self._content(name)
            digest = sha256(path) if isinstance(content, Path) else hashlib.sha256(content).hexdigest()
            self._hashed[name] = ((size, date), digest)
        return self._hashed[name][1]

    def _content(self, name: str) -> Path | bytes:
        """The path of a file that never changes; else its bytes, but not those that were added since it was hashed."""
        path = self.directory / name
        if path.suffix in _WRITTEN_ONCE:
            return path
        with path.open("rb") as file:
            return file.read(self._hashed[name][0][0])

    def _own(self) -> dict[str, Any]:
        try:
            return read_hashed_json(self.directory / RECORD, run=str, is_whole=bool)
        except FileNotFoundError:
            return {}

    def _set_own(self, run: str, is_whole: bool) -> None:
        write_hashed_json(self.directory / RECORD, {"run": run, "is_whole": is_whole})

    def _record(self) -> dict[str, Any] | None:
        data = self._far.read(RECORD)
        if data is None:
            return None
        return hashed_record(data, f"{self._far.url}/{RECORD}", run=str, writer=str, files=dict)

    def _write_record(self, run: str, hashes: dict[str, list[str]]) -> None:
        self._far.put(RECORD, hashed_json({"run": run, "writer": self._writer, "files": hashes}))


def _order(name: str) -> tuple[bool, str]:
    """Files that speak of others come after these."""
    return name in LAST, name

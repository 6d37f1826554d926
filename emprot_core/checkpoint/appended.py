"""Files that a run only appends to. A checkpoint measures them, and a resumed run cuts them back to that size."""

import hashlib
import logging
import os
from pathlib import Path
from typing import Any

from emprot_core.disk import open_own, sync_directory
from emprot_core.files import set_aside

APPENDED = "appended"
"""The key under which a hook keeps `measure()` in its state, so that --verify finds it."""
Measured = dict[str, dict[str, Any]]
"""For each file name {"size": number of bytes, "sha256": hex digest of these bytes}."""

_log = logging.getLogger("emprot")


class AppendedFiles:
    """The files of a directory whose names match a pattern."""

    def __init__(self, directory: Path, pattern: str):
        self.directory = directory
        self.pattern = pattern
        self._hashes: dict[str, tuple[Any, int]] = {}  # hash and size of the part measured before: files may grow large

    def append(self, name: str, data: bytes) -> None:
        """Add to a file of the directory, and make it if there is none. A link is not followed.

        Raises:
            OSError: it cannot be written. The message names it.
        """
        path = self.directory / name
        try:
            with open(path, "ab", opener=open_own) as file:
                file.write(data)
        except OSError as error:  # the error of a write does not name the file
            raise OSError(error.errno, error.strerror, str(path)) from error

    def measure(self) -> Measured:
        """Make sure that every file has reached the disk, and give its size and SHA-256."""
        paths = self._paths()
        if any(path.name not in self._hashes for path in paths):
            sync_directory(self.directory)  # the names of new files
        return {path.name: self._measure(path) for path in paths}

    def cut_back(self, measured: Measured) -> None:
        """Cut files back to what was `measured`, and move files that were created later aside.

        The log names each file that lacks or changed part of what was measured.
        """
        for fault in faults_of(self.directory, measured):
            _log.warning("%s", fault)
        self._hashes = {}
        paths = {*self._paths(), *(self.directory / name for name in measured)}
        dangling = [path for path in paths if path.is_symlink() and not path.exists()]
        set_aside(self.directory, sorted({*dangling, *(p for p in self._paths() if p.name not in measured)}))
        for path in self._paths():
            if path.stat().st_size > measured[path.name]["size"]:
                os.truncate(path, measured[path.name]["size"])

    def newest(self) -> str:
        """The name that sorts last; "" if there is no file."""
        return max((path.name for path in self._paths()), default="")

    def _paths(self) -> list[Path]:
        return sorted(self.directory.glob(self.pattern))

    def _measure(self, path: Path) -> dict[str, Any]:
        digest, size = self._hashes.get(path.name, (hashlib.sha256(), 0))
        with path.open("rb") as file:
            file.seek(size)
            added = file.read()
            if added:
                os.fsync(file.fileno())
        digest.update(added)
        self._hashes[path.name] = (digest, size + len(added))
        return {"size": size + len(added), "sha256": digest.hexdigest()}


def faults_of(directory: Path, measured: Measured) -> list[str]:
    """One line per file that does not begin with what was measured."""
    faults = []
    for name, expected in measured.items():
        path = directory / name
        if not path.is_file():
            faults.append(f"{path} is missing")
        elif hashlib.sha256(path.read_bytes()[: expected["size"]]).hexdigest() != expected["sha256"]:
            faults.append(f"{path} is damaged: its first {expected['size']} bytes differ from those of the checkpoint")
    return faults

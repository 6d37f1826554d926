"""Files that are either whole or absent: written beside their place, synced, read back and then renamed."""

import errno
import hashlib
import logging
import os
import shutil
from collections.abc import Callable, Iterable
from itertools import count
from pathlib import Path
from typing import Any, BinaryIO

_log = logging.getLogger("emprot")


def write_atomically(path: Path, write: Callable[[Any], None]) -> str:
    """Write a file through `write(file)` and give its SHA-256.

    The data are on the disk and were read back before the rename. The rename is on the disk before the function
    returns. A failure, such as a full disk, leaves the earlier file at `path` untouched.

    Raises:
        OSError: the file could not be written, or reads back differently. The message names it.
    """
    temporary = _temporary(path)
    try:
        with temporary.open("wb") as file:
            hashed = _HashedFile(file)
            hashed.fill(write)
            file.flush()
            os.fsync(file.fileno())
        digest = hashed.digest()
        if sha256(temporary) != digest:
            raise OSError(errno.EIO, "the disk gives back other bytes than were written")
        os.replace(temporary, path)
        sync_directory(path.parent)
    except BaseException as error:
        temporary.unlink(missing_ok=True)
        if isinstance(error, OSError) and error.filename is None:
            raise OSError(error.errno, error.strerror, str(path)) from error
        raise
    return digest


def write_text_atomically(path: Path, text: str) -> None:
    """Write a text in UTF-8 by `write_atomically`."""
    write_atomically(path, lambda file: file.write(text.encode()))


def is_name_of(path: Path, name: Path) -> bool:
    """Whether both paths exist and are names of one file."""
    return path.exists() and name.exists() and name.samefile(path)


def give_name(path: Path, name: Path) -> None:
    """Make `name` a second name of the file: a hard link, or a copy where the file system has none."""
    temporary = _temporary(name)
    temporary.unlink(missing_ok=True)
    try:
        os.link(path, temporary)
    except OSError:  # which OSError is raised differs between file systems
        shutil.copyfile(path, temporary)
    os.replace(temporary, name)


def set_aside(directory: Path, paths: Iterable[Path]) -> None:
    """Move files into the next free folder aside-<n> of the directory and log it. Nothing is deleted.

    "tfevents" in a name becomes "events", so that TensorBoard does not show the file as a run of its own.
    """
    if paths := list(paths):
        folder = next(path for n in count(1) if not (path := directory / f"aside-{n}").exists())
        folder.mkdir(parents=True)
        for path in paths:
            os.rename(path, folder / path.name.replace("tfevents", "events"))
        _log.warning("moved aside into %s: %s", folder, ", ".join(path.name for path in paths))


def sha256(path: Path) -> str:
    """The SHA-256 of a file, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def sync_directory(directory: Path) -> None:
    """Make renames in a directory durable."""
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _temporary(path: Path) -> Path:
    return path.with_name(f".{path.name}.partial")


class _HashedFile:
    """Passes what is written on to a file, and hashes it."""

    def __init__(self, file: BinaryIO):
        self._file = file
        self._hash = hashlib.sha256()
        self._error: OSError | None = None

    def fill(self, write: Callable[[Any], None]) -> None:
        """Call `write` with this file. If torch.save hides an error of the disk behind its own, raise the former."""
        try:
            write(self)
        except RuntimeError:
            if self._error is not None:
                raise self._error from None
            raise

    def write(self, data: bytes | memoryview) -> int:
        try:
            written = self._file.write(data)
        except OSError as error:
            self._error = error
            raise
        self._hash.update(data)
        return written

    def flush(self) -> None:
        self._file.flush()

    def digest(self) -> str:
        return self._hash.hexdigest()

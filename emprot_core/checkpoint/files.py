"""Files that are either whole or not there: written beside their place, synced, read back, renamed."""

import errno
import hashlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO


def write_atomically(
    path: Path, write: Callable[[Any], None], before_rename: Callable[[str], None] | None = None
) -> str:
    """Write a file through `write(file)` and give its SHA-256.

    The data are on the disk, and were read back, before the rename; the rename is on the disk before this returns.
    A failure (a full disk, say) leaves what stood at `path` untouched. `before_rename(sha256)` is called once the new
    file is complete.

    Raises:
        OSError: the file could not be written, or does not read as it was written; the message names it.
    """
    temporary = path.with_name(f".{path.name}.partial")
    try:
        with temporary.open("wb") as file:
            hashed = _HashedFile(file)
            hashed.fill(write)
            file.flush()
            os.fsync(file.fileno())
        digest = hashed.digest()
        if sha256(temporary) != digest:
            raise OSError(errno.EIO, "the disk gives back other bytes than were written")
        if before_rename is not None:
            before_rename(digest)
        os.replace(temporary, path)
        sync_directory(path.parent)
    except BaseException as error:
        temporary.unlink(missing_ok=True)
        if isinstance(error, OSError) and error.filename is None:
            raise OSError(error.errno, error.strerror, str(path)) from error
        raise
    return digest


def write_text_atomically(path: Path, text: str) -> None:
    """`write_atomically` of a text in UTF-8."""
    write_atomically(path, lambda file: file.write(text.encode()))


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


class _HashedFile:
    """Passes on what is written, and hashes it."""

    def __init__(self, file: BinaryIO):
        self._file = file
        self._hash = hashlib.sha256()
        self._error: OSError | None = None

    def fill(self, write: Callable[[Any], None]) -> None:
        """Call `write` with this file; an error of the disk, which torch.save hides behind its own, comes out."""
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

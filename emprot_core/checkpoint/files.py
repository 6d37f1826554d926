"""Files that are either whole or not there: written beside their place, synced, renamed."""

import hashlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO


def write_atomically(
    path: Path, write: Callable[[BinaryIO], None], before_rename: Callable[[str], None] | None = None
) -> str:
    """Write a file through `write(file)` and give its SHA-256.

    The data are on the disk before the rename, and the rename before this returns. A failure (a full disk, say)
    leaves what stood at `path` untouched. `before_rename(sha256)` is called once the new file is complete.

    Raises:
        OSError: the file could not be written; the message names it.
    """
    temporary = path.with_name(f".{path.name}.partial")
    try:
        with temporary.open("wb") as file:
            write(file)
            file.flush()
            os.fsync(file.fileno())
        digest = sha256(temporary)
        if before_rename is not None:
            before_rename(digest)
        os.replace(temporary, path)
        sync_directory(path.parent)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    return digest


def write_text_atomically(path: Path, text: str) -> None:
    """`write_atomically` of a text in UTF-8."""
    write_atomically(path, lambda file: _write_all(file, text.encode()))


def sha256(path: Path) -> str:
    """The SHA-256 of a file, in hexadecimal."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        for block in iter(lambda: file.read(1 << 20), b""):
            digest.update(block)
    return digest.hexdigest()


def sync_directory(directory: Path) -> None:
    """Make renames in a directory durable."""
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _write_all(file: BinaryIO, data: bytes) -> None:
    file.write(data)

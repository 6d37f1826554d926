"""Files that are either whole or absent: written beside their place, synced, read back and then renamed.

Small text files also hold the SHA-256 of their own content, so that even one flipped bit is noticed.
"""

import errno
import hashlib
import json
import logging
import os
import shutil
import tokenize
import zipfile
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import Any, BinaryIO

from emprot_core.disk import make_directory, open_new, sync_directory, sync_file

_MARK = "# sha256 "
UNREADABLE = (
    *(OSError, ValueError, TypeError, KeyError, EOFError, RecursionError, MemoryError, SyntaxError),
    *(tokenize.TokenError, zipfile.BadZipFile, zlib.error, NotImplementedError, RuntimeError),
)
"""What numpy raises on a damaged .npy or .npz file."""
_log = logging.getLogger("emprot")


class Damaged(ValueError):
    """A file that does not hold what was written."""


def write_atomically(path: Path, data: bytes | memoryview) -> str:
    """Write a file, and its directory if there is none. Gives the SHA-256 of the file.

    The data are on the disk and were read back before the rename. The rename is on the disk before the function
    returns. A failure, such as a full disk, leaves the earlier file at `path` untouched.

    Raises:
        OSError: the file could not be written, or reads back differently. The message names it.
    """
    digest = hashlib.sha256(data).hexdigest()
    with written_atomically(path, digest) as file:
        file.write(data)
    return digest


@contextmanager
def written_atomically(path: Path, digest: str | None = None) -> Iterator[BinaryIO]:
    """A file to write into, for content that does not fit into memory; it appears at `path` whole, or not at all.

    Args:
        digest: the SHA-256 that the file must have when it is read back.

    Raises:
        OSError: the file could not be written, or reads back differently. The message names it.
    """
    temporary = _temporary(path)
    try:
        make_directory(path.parent)
        with open_new(temporary) as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        if digest is not None and sha256(temporary) != digest:
            raise OSError(errno.EIO, "the disk gives back other bytes than were written")
        os.replace(temporary, path)
        sync_directory(path.parent)
    except BaseException as error:
        temporary.unlink(missing_ok=True)
        if isinstance(error, OSError) and error.filename is None:
            raise OSError(error.errno, error.strerror, str(path)) from error
        raise


def write_hashed_text(path: Path, text: str) -> None:
    """Write a text whose comments begin with #, atomically, with its hash as the last line."""
    write_atomically(path, f"{text}{_MARK}{_digest(text)}\n".encode())


def write_hashed_json(path: Path, record: dict[str, Any]) -> None:
    """Write a record as JSON, atomically, with its hash under the key sha256."""
    write_atomically(path, hashed_json(record))


def hashed_json(record: dict[str, Any]) -> bytes:
    """What `write_hashed_json` writes."""
    return (json.dumps({**record, "sha256": _digest(json.dumps(record))}, indent=1) + "\n").encode()


def read_hashed_json(path: Path, **types: type) -> dict[str, Any]:
    """The record that `write_hashed_json` wrote.

    Args:
        types: the type of each entry that must be there.

    Raises:
        Damaged: the file no longer holds what was written, or is about something else.
    """
    return hashed_record(path.read_bytes(), str(path), **types)


def hashed_record(data: bytes, name: str, **types: type) -> dict[str, Any]:
    """The same, of the content of such a file; `name` is what an error calls it."""
    try:
        record = json.loads(data)
        del record["sha256"]
    except (ValueError, KeyError, TypeError) as error:
        raise Damaged(f"{name} is damaged: it cannot be read ({error})") from error
    if data != hashed_json(record):
        raise Damaged(f"{name} is damaged: its content differs from its SHA-256")
    if wrong := [entry for entry, kind in types.items() if not isinstance(record.get(entry), kind)]:
        raise Damaged(f"{name} is damaged: it has no {wrong[0]}, or one of another type")
    return record


def check_hashed(path: Path) -> None:
    """Check a file that one of the writers above wrote.

    Raises:
        Damaged: the file no longer holds what was written.
    """
    if path.suffix == ".json":
        read_hashed_json(path)
        return
    text, _, digest = path.read_bytes().rpartition(_MARK.encode())
    if digest != hashlib.sha256(text).hexdigest().encode() + b"\n":
        raise Damaged(f"{path} is damaged: its content differs from the SHA-256 in its last line")


def fault_of(path: Path, digest: str) -> str:
    """What is wrong with a file that should have this SHA-256, or "" if nothing is."""
    try:
        whole = sha256(path) == digest
    except FileNotFoundError:
        return "is missing"
    except OSError as error:
        return f"cannot be read ({error.strerror})"
    return "" if whole else "is damaged: its SHA-256 differs from the one that was recorded"


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
        sync_file(temporary)
    os.replace(temporary, name)
    sync_directory(name.parent)


def set_aside(directory: Path, paths: Iterable[Path]) -> None:
    """Move files into the next free folder aside-<n> of the directory and log it. Nothing is deleted.

    "tfevents" in a name becomes "events", so that TensorBoard does not show the file as a run of its own.
    """
    if paths := list(paths):
        folder = next(path for n in count(1) if not (path := directory / f"aside-{n}").exists())
        make_directory(folder)
        for path in paths:
            os.rename(path, folder / path.name.replace("tfevents", "events"))
        for changed in (folder, directory):
            sync_directory(changed)
        _log.warning("moved aside into %s: %s", folder, ", ".join(path.name for path in paths))


def sha256(path: Path) -> str:
    """The SHA-256 of a file, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _temporary(path: Path) -> Path:
    return path.with_name(f".{path.name}.partial")


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()

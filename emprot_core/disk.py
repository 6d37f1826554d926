"""What files ask of a disk: syncs, locks, and files that no link leads elsewhere."""

import errno
import fcntl
import logging
import os
import stat
from pathlib import Path
from typing import BinaryIO

_NOT_SUPPORTED = (errno.EINVAL, errno.ENOSYS, errno.ENOTSUP, errno.ENOLCK)
"""What file systems without locks, or without a sync of directories, answer."""
_WARNED: set[tuple[int, str]] = set()
_log = logging.getLogger("emprot")


def sync_file(path: Path) -> None:
    """Make what was written to a file durable."""
    with path.open("rb") as file:
        os.fsync(file.fileno())


def sync_directory(directory: Path) -> None:
    """Make renames in a directory durable, where the file system can do so; else one warning names the risk."""
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in _NOT_SUPPORTED:
            raise
        _warn_once(directory, "cannot sync a directory: the last file may be lost with the power")
    finally:
        os.close(descriptor)


def make_directory(directory: Path) -> None:
    """Make a directory and what it lies in, unless they exist. Their names are durable."""
    missing = [path for path in (directory, *directory.parents) if not path.exists()]
    directory.mkdir(parents=True, exist_ok=True)
    for path in missing:
        sync_directory(path.parent)


def try_lock(descriptor: int, what: Path, is_shared: bool = False) -> bool:
    """Lock an open file or directory against other processes; False if one of them has it.

    Where the file system has no locks, one warning says so.

    Args:
        is_shared: other processes may lock it too, if they share it as well.
    """
    try:
        fcntl.flock(descriptor, (fcntl.LOCK_SH if is_shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        if error.errno not in _NOT_SUPPORTED:
            raise
        _warn_once(what, "has no locks: start no second process there")
    return True


def open_own(path: str | Path, flags: int) -> int:
    """An opener for `open` that follows no link and never waits: a file that somebody else put there is refused.

    Raises:
        OSError: the path is a link, a pipe or a device.
    """
    descriptor = os.open(path, flags | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, 0o666)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError(errno.EINVAL, "it is no regular file; remove it", str(path))
    return descriptor


def open_new(path: Path) -> BinaryIO:
    """A new file in the place of one that a killed process left, or of a link that somebody else put there."""
    path.unlink(missing_ok=True)
    return os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o666), "wb")


def _warn_once(path: Path, risk: str) -> None:
    """Warn of what a file system cannot do, once for each of them."""
    if (key := (path.stat().st_dev, risk)) not in _WARNED:
        _WARNED.add(key)
        _log.warning("the file system of %s %s", path, risk)

"""Files whose SHA-256 was looked at before: a warm start of a large store costs milliseconds.

A file counts as looked at while its path, inode, size and date are the same. What was looked at is remembered in
$XDG_CACHE_HOME/emprot (~/.cache/emprot), or not at all if nothing can be written there.
"""

import contextlib
import hashlib
import os
from pathlib import Path

from emprot_core.files import sha256

_MOST_BYTES = 1 << 22  # of the memory; with more it begins anew


def holds(path: Path, digest: str) -> bool:
    """Whether a file has this SHA-256."""
    key, memory = _key(path, digest), _memory()
    if key in _remembered(memory):
        return True
    if sha256(path) != digest or _key(path, digest) != key:
        return False
    with contextlib.suppress(OSError):
        memory.parent.mkdir(parents=True, exist_ok=True)
        mode = "a" if memory.exists() and memory.stat().st_size < _MOST_BYTES else "w"
        with memory.open(mode) as file:
            file.write(f"{key}\n")
    return True


def _memory() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or Path("~/.cache").expanduser()) / "emprot" / "checked-files"


def _remembered(memory: Path) -> set[str]:
    try:
        return set(memory.read_text(errors="replace").split())
    except OSError:
        return set()


def _key(path: Path, digest: str) -> str:
    stat = path.stat()
    text = f"{path.resolve()} {stat.st_dev} {stat.st_ino} {stat.st_size} {stat.st_mtime_ns} {stat.st_ctime_ns} {digest}"
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()

"""A power failure in the place of one disk operation: what was not synced is gone (for test_enumerated_faults.py).

`main` runs emprot-run with the arguments in ARGUMENTS (JSON), in the current directory. POWER is the number of the call
of one of NAMES before which the power fails, or "at the end"; a run with too large a number ends unharmed.
WITHOUT = "files" or "directories": as if the file layer never synced them. A sibling of the directory, named
<directory>.saved, holds what was promised: the newest step that was saved, or the number of parts
of a Prepare; <directory>.lost names the files that a failure at the end costs.
"""

import itertools
import json
import os
import shutil
import signal
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

NAMES = ("open", "replace", "rename", "link", "unlink", "fsync")


def main() -> int:
    from emprot_plugins.prepare import parts

    from emprot_core.checkpoint import CheckpointStore
    from emprot_core.cli import main as emprot_run

    here = Path.cwd()
    left = Durable(here)
    calls = 0

    def counted(function: Any) -> Any:
        def call(*arguments: Any, **named: Any) -> Any:
            nonlocal calls
            calls += 1
            if str(calls) == os.environ["POWER"]:
                left.restore()
                os.kill(os.getpid(), signal.SIGKILL)
            return function(*arguments, **named)

        return call

    def fsync(descriptor: int) -> None:
        is_directory = stat.S_ISDIR(os.fstat(descriptor).st_mode)
        if os.environ.get("WITHOUT") != ("directories" if is_directory else "files"):
            left.keep(Path(os.readlink(f"/proc/self/fd/{descriptor}")))

    saved, numbers = here.with_name(f"{here.name}.saved"), itertools.count(1)
    note_after(CheckpointStore, "save", saved, lambda store, state, *_: state["step"])
    note_after(parts, "take_in", saved, lambda *_: next(numbers))
    for name in NAMES:
        setattr(os, name, counted(fsync if name == "fsync" else getattr(os, name)))
    status = emprot_run(json.loads(os.environ["ARGUMENTS"]))
    if os.environ["POWER"] == "at the end":
        here.with_name(f"{here.name}.lost").write_text("\n".join(left.lost()))
    return status


def note_after(owner: Any, name: str, path: Path, number: Callable[..., int]) -> None:
    """Let a function write a number of its arguments into a file when it is done."""
    function = getattr(owner, name)

    def noting(*arguments: Any) -> None:
        function(*arguments)
        path.write_text(str(number(*arguments)))

    setattr(owner, name, noting)


class Durable:
    """What is left of a directory after a power failure: the content that files had when they were synced, under the
    names that directories had when these were synced."""

    def __init__(self, root: Path):
        self.root = root
        self._contents: dict[int, bytes] = {}  # by inode
        self._names: dict[int, dict[str, int]] = {}  # the inodes in a directory, by its own inode
        self._directories: set[int] = set()
        self._held: dict[int, int] = {}  # open files, so that no inode is given to another file
        self._open = os.open
        for path in (root, *root.rglob("*")):
            self.keep(path)

    def keep(self, path: Path) -> None:
        """Note what was synced: a file or a directory."""
        if path.is_dir():
            self._names[self._inode(path)] = {each.name: self._inode(each) for each in path.iterdir()}
        else:
            self._contents[self._inode(path)] = path.read_bytes()

    def restore(self) -> None:
        """Put the directory into the state that is left."""
        for path in self.root.iterdir():
            shutil.rmtree(path) if path.is_dir() else path.unlink()
        self._restore(self.root, self._inode(self.root))

    def lost(self) -> list[str]:
        """Put the directory into the state that is left. Gives the files that are not as they were."""
        before = {path: path.read_bytes() for path in self.root.rglob("*") if path.is_file()}
        self.restore()
        lost = [path for path, content in before.items() if not path.is_file() or path.read_bytes() != content]
        return sorted(str(path.relative_to(self.root)) for path in lost)

    def _restore(self, directory: Path, inode: int) -> None:
        for name, each in self._names.get(inode, {}).items():
            if each in self._directories:
                (directory / name).mkdir()
                self._restore(directory / name, each)
            else:
                (directory / name).write_bytes(self._contents.get(each, b""))

    def _inode(self, path: Path) -> int:
        inode = path.lstat().st_ino
        if inode not in self._held:
            self._held[inode] = self._open(path, os.O_PATH | os.O_NOFOLLOW)
            if path.is_dir():
                self._directories.add(inode)
        return inode

"""A power failure in the place of one disk operation: what was not synced is gone (for test_enumerated_faults.py).

`main` runs emprot-run with the arguments in ARGUMENTS (JSON), in the current directory. POWER is the number of the call
of open, replace, link, unlink or fsync before which the power fails; a run with too large a number ends unharmed.
WITHOUT = "files" or "directories": as if the file layer never synced them. A sibling of the directory, named
<directory>.saved, holds the newest step that CheckpointStore.save promised.
"""

import json
import os
import shutil
import signal
import stat
from pathlib import Path
from typing import Any

NAMES = ("open", "replace", "rename", "link", "unlink", "fsync")


def main() -> int:
    from emprot_core.checkpoint import CheckpointStore
    from emprot_core.cli import main as emprot_run

    here = Path.cwd()
    left = Durable(here)
    calls = 0

    def counted(function: Any) -> Any:
        def call(*arguments: Any, **named: Any) -> Any:
            nonlocal calls
            calls += 1
            if calls == int(os.environ["POWER"]):
                left.restore()
                os.kill(os.getpid(), signal.SIGKILL)
            return function(*arguments, **named)

        return call

    def fsync(descriptor: int) -> None:
        is_directory = stat.S_ISDIR(os.fstat(descriptor).st_mode)
        if os.environ.get("WITHOUT") != ("directories" if is_directory else "files"):
            left.keep(Path(os.readlink(f"/proc/self/fd/{descriptor}")))

    save = CheckpointStore.save

    def promising(store: Any, state: dict[str, Any], *arguments: Any) -> None:
        save(store, state, *arguments)
        here.with_name(f"{here.name}.saved").write_text(str(state["step"]))

    CheckpointStore.save = promising  # type: ignore[method-assign]
    for name in NAMES:
        setattr(os, name, counted(fsync if name == "fsync" else getattr(os, name)))
    return emprot_run(json.loads(os.environ["ARGUMENTS"]))


class Durable:
    """What is left of a directory after a power failure: the content that files had when they were synced, under the
    names that directories had when these were synced."""

    def __init__(self, root: Path):
        self.root = root
        self._contents: dict[int, bytes] = {}  # by inode
        self._names: dict[int, dict[str, int]] = {}  # the inodes in a directory, by its own inode
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
        directories = {self._inode(path) for path in self.root.rglob("*") if path.is_dir()}
        for path in self.root.iterdir():
            shutil.rmtree(path) if path.is_dir() else path.unlink()
        self._restore(self.root, self._inode(self.root), directories)

    def _restore(self, directory: Path, inode: int, directories: set[int]) -> None:
        for name, each in self._names.get(inode, {}).items():
            if each in directories:
                (directory / name).mkdir()
                self._restore(directory / name, each, directories)
            else:
                (directory / name).write_bytes(self._contents.get(each, b""))

    def _inode(self, path: Path) -> int:
        inode = path.lstat().st_ino
        if inode not in self._held:
            self._held[inode] = self._open(path, os.O_PATH | os.O_NOFOLLOW)
        return inode

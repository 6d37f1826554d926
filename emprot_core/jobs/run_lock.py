"""The lock of a run directory: one run at a time, on one directory that all ranks see, for as long as it lasts."""

import uuid
from pathlib import Path
from typing import Any

from emprot_core.disk import make_directory, open_own, try_lock
from emprot_core.distributed import barrier, gather, rank, world_size
from emprot_core.errors import EmprotError


class RunLock:
    """run.lock of a directory, which rank 0 holds."""

    def __init__(self, directory: Path):
        self._directory, self._path = directory, directory / "run.lock"
        self._file: Any = None
        self._held: dict[Path, tuple[int, int] | None] = {}

    def take(self) -> bool:
        """Make the directory and lock it; False if another process has it. Ranks but the first do nothing.

        Raises:
            OSError: the directory cannot be written.
        """
        if rank() != 0:
            return True
        try:
            make_directory(self._directory)
            self._file = open(self._path, "w", opener=open_own)  # noqa: SIM115  # open for as long as the run goes on
        except OSError as error:
            raise OSError(
                f"{self._directory} cannot be written ({error}); bind run.directory to a directory that can be written"
            ) from error
        self._held = {path: _identity(path) for path in (self._directory, self._path)}
        return try_lock(self._file.fileno(), self._directory)

    def is_shared(self) -> bool:
        """Whether this rank reads in the lock what rank 0 wrote into it. All ranks must call it."""
        if world_size() == 1:
            return True
        token = gather(uuid.uuid4().hex)[0]
        if self._file is not None:
            self._file.write(token)
            self._file.flush()
        barrier()
        return self._path.is_file() and self._path.read_text() == token

    def check_held(self) -> None:
        """
        Raises:
            EmprotError: the directory or its lock is another one than at the start, so that another run may be there.
        """
        for path, identity in self._held.items():
            if _identity(path) != identity:
                raise EmprotError(
                    f"{path} was removed or replaced while the run was going on; nothing more is written. What it "
                    "saved before is in the directory that was there"
                )

    def release(self) -> None:
        """Let another run in."""
        if self._file is not None:
            self._file.close()


def _identity(path: Path) -> tuple[int, int] | None:
    """The device and inode of a path, None if there is nothing."""
    return (path.stat().st_dev, path.stat().st_ino) if path.exists() else None

"""What a reader may have besides `read` (contracts.Reader)."""

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol, runtime_checkable


@runtime_checkable
class ArchiveReader(Protocol):
    """A reader of files that hold many trajectories each: it reads `path / member`."""

    def members(self, path: Path) -> Sequence[str]:
        """Names of the trajectories in a file, such as 320/0."""


@runtime_checkable
class UsesOtherFiles(Protocol):
    """A reader that needs more than the trajectory file: topologies, tables. Prepare sees whether they change."""

    def other_files(self, path: Path) -> Sequence[Path]: ...

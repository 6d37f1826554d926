"""Finds the trajectory files that a source matches, and names each trajectory."""

import glob
import os
from collections.abc import Sequence
from pathlib import Path

from emprot_core.contracts import ArchiveReader, Reader
from emprot_core.data.store import SAMPLE_PREFIX, SAMPLE_ROOT
from emprot_core.errors import EmprotError


def find_trajectories(sources: Sequence[str], reader: Reader) -> dict[str, Path]:
    """The paths for the reader, by the name of the trajectory, in the order of the paths.

    A trajectory is named by its path below the common folder of all, without the suffix. If all files have the same
    name, that is left out as well (`a/traj.xtc` and `b/traj.xtc` become a and b). A trajectory inside a file of many is
    called <file>/<member>.

    Raises:
        EmprotError: a source matches no file, or two files differ only in their suffix.
    """
    paths = _find_files(sources)
    names = _name_files(paths)
    if not isinstance(reader, ArchiveReader):
        return names
    found: dict[str, Path] = {}
    for name, path in names.items():
        try:
            found |= {f"{name}/{member}": path / member for member in reader.members(path)}
        except ValueError:  # a damaged file counts as one trajectory; reading it later says what is wrong
            found[name] = path
    return found


def existing_file(path: Path) -> Path:
    """The file on disk for a path that may continue inside the file (`domain.h5/320/0`)."""
    return next((parent for parent in (path, *path.parents) if parent.exists()), path)


def _find_files(sources: Sequence[str]) -> list[Path]:
    found: set[Path] = set()
    for source in sources:
        pattern = source
        if source.startswith(SAMPLE_PREFIX):
            pattern = str(SAMPLE_ROOT / source.removeprefix(SAMPLE_PREFIX) / "*.npz")
        matches = [Path(match) for match in glob.glob(pattern, recursive=True) if os.path.isfile(match)]
        if not matches:
            raise EmprotError(
                f"Prepare.source = {source!r} matches no file; give a file, a pattern such as 'runs/**/*.xtc', "
                f"or {SAMPLE_PREFIX}coordinates"
            )
        found.update(matches)
    return sorted(found)


def _name_files(paths: list[Path]) -> dict[str, Path]:
    common = os.path.commonpath([path.absolute().parent for path in paths])
    shared = len(paths) > 1 and len({path.name for path in paths}) == 1
    names: dict[str, Path] = {}
    for path in paths:
        below = path.absolute().relative_to(common)
        name = (below.parent if shared else below.with_suffix("")).as_posix()
        if name in names:
            raise EmprotError(
                f"{names[name]} and {path} differ in their suffix alone, expected one file for a trajectory; "
                "narrow Prepare.source"
            )
        names[name] = path
    return names

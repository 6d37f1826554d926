"""Opens HDF5 files that hold many trajectories (extra `hdf5`)."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from emprot_core.errors import EmprotError


def split_member(path: Path) -> tuple[Path, str]:
    """The file and the member of a path into a file, such as `domain.h5/320/0`; the member of a file itself is ""."""
    file = next((parent for parent in (path, *path.parents) if parent.is_file()), path)
    return file, "" if file == path else path.relative_to(file).as_posix()


@contextmanager
def open_hdf5(path: Path, reader: str) -> Iterator[Any]:
    """An HDF5 file, open for reading.

    Raises:
        ModuleNotFoundError: h5py is not installed.
        EmprotError: the file is missing or damaged.
    """
    try:
        import h5py
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(f"readers.{reader} needs h5py; pip install 'emprot[hdf5]'") from error
    try:
        with h5py.File(path, "r") as file:
            yield file
    except (OSError, RuntimeError) as error:  # h5py raises these on opening or reading a damaged file
        raise EmprotError(f"{path} cannot be read as HDF5 ({error}); copy it again") from error


def dataset(group: Any, name: str, path: Path) -> Any:
    """A member of a group; if it is missing, a ValueError names the existing members."""
    if name not in group:
        raise EmprotError(f"{path}: {group.name} has no {name!r}, but {sorted(group)[:12]}; give a file of this format")
    return group[name]


def trajectory_dataset(group: Any, name: str, num_atoms: int, path: Path) -> Any:
    """Coordinates (frames, num_atoms, 3); ValueError if their shape differs or there are no frames."""
    coordinates = dataset(group, name, path)
    if coordinates.ndim != 3 or coordinates.shape[1:] != (num_atoms, 3) or not len(coordinates):
        raise EmprotError(
            f"{path}: {coordinates.name} has shape {coordinates.shape}, expected (frames, {num_atoms}, 3) with one "
            "frame or more: as many atoms as the file names"
        )
    return coordinates


def strings(values: Any) -> list[str]:
    """The strings of a dataset, stripped of blanks."""
    return [v.decode().strip() if isinstance(v, bytes) else str(v).strip() for v in np.asarray(values).ravel().tolist()]

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
    except (
        OSError,
        RuntimeError,
        KeyError,
        TypeError,
    ) as error:  # h5py raises these on opening or reading a damaged file
        raise EmprotError(f"{path} cannot be read as HDF5 ({error}); copy it again") from error


def dataset(group: Any, name: str, path: Path) -> Any:
    """A member of a group that lies in the file itself.

    Raises:
        EmprotError: it is missing, the message names the existing members; or it is a link or stored in another file.
    """
    import h5py

    found = group
    for part in name.split("/"):
        if part not in found:
            raise EmprotError(
                f"{path}: {found.name} has no {part!r}, but {sorted(found)[:12]}; give a file of this format"
            )
        if not isinstance(found.get(part, getlink=True), h5py.HardLink):
            raise EmprotError(
                f"{path}: {found.name} has {part!r} as a link, which is not followed; copy what it points to"
            )
        found = found[part]
    if isinstance(found, h5py.Dataset) and (found.external is not None or found.is_virtual):
        raise EmprotError(f"{path}: {found.name} is stored in another file, which is not read; copy it into this one")
    return found


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

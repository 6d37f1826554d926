"""The residue tables of a store, and for each of them one reference backbone.

structure_of.npy    (trajectories,) int32: the structure of each trajectory, -1 where none is known
structures.npy      (structures,): the first row and the number of rows of each in the two files below
residues.npy        (rows,) of RESIDUE_DTYPE
backbone.npy        (rows, 4, 3) float32, Angstrom, atoms N CA C O, NaN where unknown

Trajectories of one group with the same residues share a structure, whose backbone is the first frame of the first of
them. The files are there only if any structure is known.
"""

from collections.abc import Callable
from pathlib import Path

import numpy as np

from emprot_core.contracts import RESIDUE_DTYPE
from emprot_core.data.store_format import STRUCTURE_ARRAYS, StoreError

SPAN_OF_ROWS = np.dtype([("first_row", np.int64), ("num_residues", np.int32)])


def residue_table(residues: np.ndarray) -> np.ndarray:
    """Residues (N,) as RESIDUE_DTYPE. A field that they lack is empty, or for the number the place from 1 on."""
    table = np.zeros(len(residues), RESIDUE_DTYPE)
    table["number"] = np.arange(1, len(residues) + 1)
    for field in RESIDUE_DTYPE.names or ():
        if field in (residues.dtype.names or ()):
            table[field] = residues[field]
    return table


class StructureTable:
    """Collects the structures of the trajectories of a new store."""

    def __init__(self) -> None:
        self._places: dict[tuple[str, bytes], int] = {}
        self._of: list[int] = []
        self._residues: list[np.ndarray] = []
        self._backbones: list[np.ndarray] = []

    def add(self, name: str, group: str, shape: int, residues: np.ndarray | None, backbone: np.ndarray | None) -> None:
        """Add the structure of the next trajectory, or None where it is unknown.

        Raises:
            StoreError: residues or backbone are not about as many residues as the trajectory has, `shape`.
        """
        if residues is None:
            self._of.append(-1)
            return
        table = residue_table(residues)
        if backbone is None:
            backbone = np.full((shape, 4, 3), np.nan, np.float32)
        if len(table) != shape or backbone.shape != (shape, 4, 3):
            raise StoreError(
                f"{name} has IDs of {shape} residues, residues of shape {residues.shape} and a backbone of shape "
                f"{backbone.shape}, expected ({shape},) and ({shape}, 4, 3)"
            )
        place = self._places.setdefault((group, table.tobytes()), len(self._residues))
        if place == len(self._residues):
            self._residues.append(table)
            self._backbones.append(np.asarray(backbone, np.float32))
        self._of.append(place)

    def arrays(self) -> dict[str, np.ndarray]:
        """The arrays to keep, by name; none if no structure is known."""
        if not self._residues:
            return {}
        counts = [len(table) for table in self._residues]
        rows = np.zeros(len(counts), SPAN_OF_ROWS)
        rows["num_residues"], rows["first_row"] = counts, np.cumsum([0, *counts[:-1]])
        arrays = (np.array(self._of, np.int32), rows, np.concatenate(self._residues), np.concatenate(self._backbones))
        return dict(zip(STRUCTURE_ARRAYS, arrays, strict=True))


def read_structure(
    directory: Path, read: Callable[[str], np.ndarray], trajectory: int, num_residues: int
) -> tuple[np.ndarray, np.ndarray] | None:
    """The residues (N,) of RESIDUE_DTYPE and the backbone (N, 4, 3) of a trajectory, or None where they are unknown.

    Args:
        read: opens an array of the store by its file name.

    Raises:
        StoreError: the arrays do not fit together.
    """
    if not (directory / f"{STRUCTURE_ARRAYS[0]}.npy").is_file():
        return None
    structure_of, rows, residues, backbone = (read(f"{name}.npy") for name in STRUCTURE_ARRAYS)
    types = [structure_of.dtype, rows.dtype, residues.dtype, backbone.dtype]
    expected = [np.dtype(np.int32), SPAN_OF_ROWS, RESIDUE_DTYPE, np.dtype(np.float32)]
    if types != expected or backbone.shape != (len(residues), 4, 3):
        raise StoreError(f"{directory}: {', '.join(STRUCTURE_ARRAYS)} are not what a store holds; prepare it again")
    place = int(structure_of[trajectory]) if trajectory < len(structure_of) else -1
    if place < 0:
        return None
    first, count = (int(v) for v in rows[place]) if place < len(rows) else (0, -1)
    if count != num_residues or not 0 <= first <= len(residues) - count:
        raise StoreError(f"{directory}: the structure of trajectory {trajectory} is damaged; prepare the store again")
    return residues[first : first + count], backbone[first : first + count]

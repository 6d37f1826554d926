"""MISATO: molecular dynamics of protein-ligand complexes, one HDF5 group per PDB entry (extra `hdf5`)."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from emprot_core.contracts import RESIDUE_DTYPE, Structure
from emprot_core.errors import EmprotError
from emprot_core.registry import register

from .chunks import chain_segments, frame_slices
from .hdf5 import dataset, open_hdf5, split_member, trajectory_dataset
from .layout import group_of, read_groups

_H, _C, _N, _O = 1, 6, 7, 8
_MAX_BONDS = {(_C, _H): 1.3, (_C, _C): 1.75, (_C, _N): 1.65, (_C, _O): 1.4}
"""In Angstrom. A C-O bond this short, on a carbon without hydrogen, is a carbonyl, a carboxylate or a phenol."""
_MAX_SEPARATION = 30
"""Bonded atoms are at most this many places apart in the file, within a residue and across a peptide bond."""


@register("reader", "misato_h5")
class Misato:
    """Reads the proteins of MD.hdf5, one trajectory per PDB entry; the group is the entry, or comes from a table.

    The file does not name atoms. N, CA, C and O are found by the bonds of the first frame: C is a carbonyl carbon
    without hydrogen, bonded to a carbon (CA) that is bonded to a nitrogen. Residues are named by the file's own codes,
    which are numbers.

    Source: Siebenmorgen et al., Nature Computational Science 4, 367 (2024).
    """

    def __init__(
        self,
        groups: str = "",
        key_column: str = "PDB ID",
        group_column: str = "Uniprot ID",
        time_step_ns: float = float("nan"),
    ):
        """
        Args:
            groups: a CSV file that gives the protein of each PDB entry; if empty, each entry is a group.
            key_column, group_column: names of the columns of that file.
            time_step_ns: time between frames; NaN if unknown.
        """
        self.groups, self.key_column, self.group_column = groups, key_column, group_column
        self.time_step_ns = time_step_ns

    def members(self, path: Path) -> Sequence[str]:
        """The PDB entries of a file; ValueError if it is damaged."""
        with open_hdf5(path, "misato_h5") as file:
            return sorted(file)

    def other_files(self, path: Path) -> Sequence[Path]:
        """The table of groups, if there is one."""
        return [Path(self.groups)] if self.groups else []

    def read(self, path: Path) -> Iterator[Structure]:
        """
        Raises:
            ModuleNotFoundError: h5py is not installed.
            EmprotError: the file is damaged or lacks a part of the format, or no backbone is found.
        """
        path, member = split_member(Path(path))
        if not member:
            raise EmprotError(
                f"{path} holds the trajectories {', '.join(self.members(path)[:8])}, ...; give one of them"
            )
        name = member
        if self.groups:
            name = group_of(read_groups(self.groups, self.key_column, self.group_column), member, self.groups)
        with open_hdf5(path, "misato_h5") as file:
            entry = dataset(file, member, path)
            elements = np.asarray(dataset(entry, "atoms_number", path))
            coordinates = trajectory_dataset(entry, "trajectory_coordinates", len(elements), path)
            num_protein = int(dataset(entry, "molecules_begin_atom_index", path)[-1])
            atoms = find_backbone(elements[:num_protein], coordinates[0, :num_protein])
            if not len(atoms):
                raise EmprotError(
                    f"{path}: {member} has no backbone before its last molecule, expected a protein there"
                )
            codes = np.asarray(dataset(entry, "atoms_residue", path))[atoms[:, 1]]
            residues = np.zeros(len(codes), RESIDUE_DTYPE)
            residues["number"], residues["name"] = np.arange(1, len(codes) + 1), codes.astype(str)
            segments = chain_segments(coordinates[0][atoms])
            for frames in frame_slices(len(coordinates), len(elements)):
                backbone = coordinates[frames][:, atoms].astype(np.float32, copy=False)
                yield Structure(backbone, segments, residues, name, self.time_step_ns)


def find_backbone(elements: np.ndarray, positions: np.ndarray) -> np.ndarray:
    """Indices (residues, 4) of N, CA, C, O, from atomic numbers (atoms,) and one frame (atoms, 3) in Angstrom."""
    bonds = _bonds(elements, positions)
    backbone = []
    for carbonyl in np.flatnonzero(elements == _C).tolist():
        oxygens = bonds.get((carbonyl, _O), [])
        if not oxygens or (carbonyl, _H) in bonds:
            continue
        for alpha in bonds.get((carbonyl, _C), []):
            nitrogens = bonds.get((alpha, _N), [])
            if nitrogens:
                backbone.append((nitrogens[0], alpha, carbonyl, oxygens[0]))
                break
    return np.array(backbone, dtype=np.int64).reshape(-1, 4)


def _bonds(elements: np.ndarray, positions: np.ndarray) -> dict[tuple[int, int], list[int]]:
    """For each (carbon, element), the atoms of that element bonded to the carbon, in the order of the file."""
    bonds: dict[tuple[int, int], list[int]] = {}
    for separation in range(1, min(_MAX_SEPARATION, len(elements) - 1) + 1):
        near = np.linalg.norm(positions[separation:] - positions[:-separation], axis=-1)
        for place in np.flatnonzero(near < max(_MAX_BONDS.values())).tolist():
            for carbon, other in ((place, place + separation), (place + separation, place)):
                key = (int(elements[carbon]), int(elements[other]))
                if near[place] < _MAX_BONDS.get(key, 0.0):
                    bonds.setdefault((carbon, key[1]), []).append(other)
    return {key: sorted(atoms) for key, atoms in bonds.items()}

"""Secondary structure by DSSP, computed by mdtraj (the extra `dssp`)."""

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from emprot_core.batch import MISSING_ID
from emprot_core.contracts import Structure
from emprot_core.registry import register

from .geometry import frame_chunks, unbroken_stretches

CLASS_LETTERS = "HBEGITS "
_ATOMS = (("N", 7), ("CA", 6), ("C", 6), ("O", 8))
_ANGSTROM_PER_NM = 10.0
_BEND = 2
"""The class of a residue depends on this many residues on either side."""


@register("tokenizer", "dssp")
class Dssp:
    """The eight classes of DSSP as IDs 0 to 7; the first and last residue of each unbroken stretch have none.

    Hydrogen bonds are found between all residues, also across a chain break. A proline, which donates none, is
    recognised by its name; if names are unknown, no residue counts as a proline.

    Source: Kabsch, Sander, Biopolymers 22, 2577 (1983).
    """

    name = "dssp"
    num_clusters = len(CLASS_LETTERS)

    def __init__(self) -> None:
        """
        Raises:
            ModuleNotFoundError: mdtraj is not installed.
        """
        try:
            import mdtraj
        except ModuleNotFoundError as error:
            raise ModuleNotFoundError("the dssp tokenizer needs mdtraj; pip install 'emprot[dssp]'") from error
        self._version = str(mdtraj.__version__)

    def fit(self, structures: Iterable[Structure]) -> None:
        """Do nothing, because the vocabulary is fixed."""

    def encode(self, structure: Structure) -> np.ndarray:
        """(frames, residues) int16; also MISSING_ID within two residues of one whose coordinates are unknown."""
        import mdtraj

        num_frames, num_residues = structure.coordinates.shape[:2]
        topology = _topology(structure)
        place = {letter: number for number, letter in enumerate(CLASS_LETTERS)}
        ids = np.full((num_frames, num_residues), MISSING_ID, dtype=np.int16)
        for frames in frame_chunks(num_frames, 12 * num_residues):
            atoms = structure.coordinates[frames].reshape(-1, 4 * num_residues, 3) / _ANGSTROM_PER_NM
            letters = mdtraj.compute_dssp(mdtraj.Trajectory(atoms, topology), simplified=False)
            for letter, number in place.items():
                ids[frames][letters == letter] = number
        ids[_near_unknown(structure.coordinates)] = MISSING_ID
        stretches = unbroken_stretches(structure.segments)
        ids[:, [residue for stretch in stretches for residue in (stretch.start, stretch.stop - 1)]] = MISSING_ID
        return ids

    def description(self) -> Mapping[str, Any]:
        """IDs 0 to 7 are these letters; the blank is a loop."""
        return {"name": self.name, "classes": CLASS_LETTERS, "mdtraj": self._version}

    def arrays(self) -> Mapping[str, np.ndarray]:
        """No arrays: nothing is learnt."""
        return {}


def _topology(structure: Structure) -> Any:
    import mdtraj

    num_residues = structure.coordinates.shape[1]
    names = ["ALA"] * num_residues if structure.residues is None else structure.residues["name"].tolist()
    topology = mdtraj.Topology()
    for stretch in unbroken_stretches(structure.segments):
        chain = topology.add_chain()
        for name in names[stretch]:
            residue = topology.add_residue(name, chain)
            for atom, number in _ATOMS:
                topology.add_atom(atom, mdtraj.element.Element.getByAtomicNumber(number), residue)
    return topology


def _near_unknown(coordinates: np.ndarray) -> np.ndarray:
    """(frames, residues) bool: True within _BEND residues of one with an unknown coordinate."""
    unknown = ~np.isfinite(coordinates).all(axis=(2, 3))
    near = unknown.copy()
    for step in range(1, _BEND + 1):
        near[:, step:] |= unknown[:, :-step]
        near[:, :-step] |= unknown[:, step:]
    return near

"""Trajectories of molecular dynamics programs (XTC, TRR, DCD, ...) through MDAnalysis (the extra `md`)."""

import warnings
from pathlib import Path
from typing import Any

import numpy as np

from emprot_core.contracts import Structure
from emprot_core.registry import register

CHAIN_BREAK_ANGSTROM = 2.0
"""A peptide bond is 1.33 Angstrom long."""
_ATOM_NAMES = (("N",), ("CA",), ("C",), ("O", "OT1", "OC1", "OXT"))  # the last residue's oxygen has many names


@register("reader", "md")
class MDTrajectory:
    """The backbone of a trajectory file and its topology (PDB, GRO, PSF, ...).

    Residues are the standard amino acids (MDAnalysis' `protein`) that have N, CA, C and O. The time step is the
    user's: the times in trajectory files are often wrong.
    """

    def __init__(self, topology: str, group: str = "", time_step_ns: float = float("nan")):
        """
        Args:
            topology: a path, or the name of a file beside each trajectory.
            group: the protein (UniProt accession or the like); replicas must share it, so that no split parts them.
            time_step_ns: between frames; NaN where unknown.
        """
        self.topology, self.group, self.time_step_ns = topology, group, time_step_ns

    def read(self, path: Path) -> Structure:
        """
        Raises:
            ModuleNotFoundError: MDAnalysis is not installed.
            ValueError: a file is missing or cannot be read, or no residue has a backbone.
        """
        topology = Path(self.topology) if Path(self.topology).is_file() else Path(path).parent / self.topology
        for file in (topology, Path(path)):
            if not file.is_file():
                raise ValueError(f"there is no file {file}; give a trajectory, and as readers.md.topology its topology")
        residues, coordinates = _load(topology, Path(path))
        return Structure(
            coordinates=coordinates,
            segments=chain_segments(coordinates[0]),
            residues=np.array(residues, dtype=[("number", np.int32), ("name", "U4")]),
            group=self.group,
            time_step_ns=self.time_step_ns,
        )


def chain_segments(backbone: np.ndarray) -> np.ndarray:
    """(residues,) int32 numbers of the unbroken stretches of one frame (residues, 4, 3).

    A stretch ends where C and the next N are not within CHAIN_BREAK_ANGSTROM of each other.
    """
    bonded = np.linalg.norm(backbone[1:, 0] - backbone[:-1, 2], axis=-1) <= CHAIN_BREAK_ANGSTROM
    return np.concatenate([[0], np.cumsum(~bonded)]).astype(np.int32)


def _load(topology: Path, path: Path) -> tuple[list[tuple[int, str]], np.ndarray]:
    """Number and name of each residue, and the coordinates (frames, residues, 4, 3) float32."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of masses, elements and times, none of which is used
        try:
            import MDAnalysis

            universe = MDAnalysis.Universe(str(topology), str(path))
            residues, atoms = _backbone_atoms(universe)
            frames = [frame.positions[atoms] for frame in universe.trajectory] if residues else []
        except ModuleNotFoundError as error:
            raise ModuleNotFoundError("readers.md needs MDAnalysis; pip install 'emprot[md]'") from error
        except Exception as error:  # its parsers raise anything on a damaged file
            raise ValueError(f"{path} cannot be read with the topology {topology}: {error}") from error
    if not frames:
        raise ValueError(
            f"{path} with the topology {topology} has {len(residues)} residues with N, CA, C and O and {len(frames)} "
            "frames, expected one of each or more; give a topology of the protein"
        )
    return residues, np.stack(frames).astype(np.float32)


def _backbone_atoms(universe: Any) -> tuple[list[tuple[int, str]], np.ndarray]:
    """Number and name of each residue with a backbone, and its atoms (residues, 4)."""
    residues, atoms = [], []
    for residue in universe.select_atoms("protein").residues:
        index = {atom.name: atom.index for atom in residue.atoms}
        found = [next((index[name] for name in names if name in index), None) for names in _ATOM_NAMES]
        if None not in found:
            residues.append((residue.resid, residue.resname))
            atoms.append(found)
    return residues, np.array(atoms, dtype=np.int64)

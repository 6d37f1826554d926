"""Coordinates of the embedded sample."""

import warnings
from pathlib import Path

import numpy as np
from emprot_plugins.readers.backbone_npz import BackboneNpz

from emprot_core.contracts import Structure
from emprot_core.data.store import SAMPLE_ROOT


def sample(name: str) -> Structure:
    return BackboneNpz().read(SAMPLE_ROOT / "coordinates" / f"{name}.npz")


def frames_of_the_receptor() -> Structure:
    """Three frames of the 5-HT1B receptor: 302 residues, one chain break after the 212th."""
    structure = sample("prolif_5ht1b")
    return structure._replace(coordinates=structure.coordinates[::100])


def write_as_xtc(folder: Path, name: str, structure: Structure) -> None:
    """Write a structure as <name>.xtc and <name>.pdb, as simulation programs leave them."""
    import MDAnalysis

    residues, num_frames = structure.residues, len(structure.coordinates)
    universe = MDAnalysis.Universe.empty(
        4 * len(residues), len(residues), atom_resindex=np.repeat(np.arange(len(residues)), 4), trajectory=True
    )
    for attribute, values in {
        "name": ["N", "CA", "C", "O"] * len(residues),
        "type": ["N", "C", "C", "O"] * len(residues),
        "resname": residues["name"].tolist(),
        "resid": residues["number"].tolist(),
        "segid": ["A"],
        "chainID": ["A"] * 4 * len(residues),
    }.items():
        universe.add_TopologyAttr(attribute, values)
    positions = structure.coordinates.reshape(num_frames, -1, 3)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about a box, elements and occupancies that are not there
        universe.atoms.positions = positions[0]
        universe.atoms.write(str(folder / f"{name}.pdb"))
        with MDAnalysis.Writer(str(folder / f"{name}.xtc"), universe.atoms.n_atoms) as writer:
            for frame in positions:
                universe.atoms.positions = frame
                writer.write(universe.atoms)

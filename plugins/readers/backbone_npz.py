"""Backbones in small NPZ files, the format of the embedded sample.

Coordinates are integer multiples of a unit (an XTC file itself holds no more than 0.01 Angstrom). N, C and O are stored
relative to their CA, every value is relative to the frame before, and low and high bytes are stored separately. This
leaves mostly small numbers, which compress well. No pickle is used. The sample was made as follows (NOTICE names the
files):

    structure = MDTrajectory("top.pdb", group="P28222").read(Path("traj.xtc"))
    write_backbone(Path("prolif_5ht1b.npz"), structure._replace(source={"package": "prolif", ...}), 0.05)
"""

import json
from pathlib import Path

import numpy as np

from emprot_core.contracts import Structure
from emprot_core.errors import EmprotError
from emprot_core.files import UNREADABLE
from emprot_core.registry import register

_CA = 1
_OTHERS = [0, 2, 3]


@register("reader", "backbone_npz")
class BackboneNpz:
    """Reads backbone files, as `write_backbone` writes them."""

    def read(self, path: Path) -> Structure:
        """
        Raises:
            EmprotError: the file is missing or damaged.
        """
        try:
            with Path(path).open("rb") as opened, np.load(opened, allow_pickle=False) as file:
                return Structure(
                    coordinates=_unpack(file["low"], file["high"], float(file["unit_angstrom"])),
                    segments=file["segments"],
                    residues=file["residues"],
                    group=str(file["group"]),
                    time_step_ns=float(file["time_step_ns"]),
                    source=json.loads(str(file["source"])),
                )
        except UNREADABLE as error:
            raise EmprotError(
                f"{path} is not a backbone file ({error}); give a file that write_backbone wrote, or another reader"
            ) from error


def write_backbone(path: Path, structure: Structure, unit_angstrom: float = 0.05) -> None:
    """Write a backbone, with coordinates rounded to multiples of the unit.

    Raises:
        EmprotError: a coordinate is not finite or moves too far for the unit, or the residues have no names.
    """
    if structure.residues is None:
        raise EmprotError(f"{path}: the structure has no residues; give their numbers and names")
    low, high = _pack(structure.coordinates, unit_angstrom)
    np.savez_compressed(
        path,
        low=low,
        high=high,
        unit_angstrom=np.float64(unit_angstrom),
        segments=structure.segments.astype(np.int32),
        residues=structure.residues,
        group=np.array(structure.group),
        time_step_ns=np.float64(structure.time_step_ns),
        source=np.array(json.dumps(structure.source, sort_keys=True)),
    )


def _pack(coordinates: np.ndarray, unit_angstrom: float) -> tuple[np.ndarray, np.ndarray]:
    """The low and the high bytes, each uint8 in the shape of the coordinates."""
    units = np.rint(coordinates.astype(np.float64) / unit_angstrom)
    units[:, :, _OTHERS] -= units[:, :, [_CA]]
    steps = np.diff(units, axis=0, prepend=0)
    if not np.abs(steps).max() < 2**14:  # NaN is caught as well
        raise EmprotError(
            f"coordinates reach {np.abs(coordinates).max()} Angstrom, expected finite ones that move less than "
            f"{2**14 * unit_angstrom:g} Angstrom a frame; centre the protein or give a larger unit"
        )
    # 0, -1, 1, -2, ... become 0, 1, 2, 3, ..., so a small step of either sign has a high byte of 0.
    codes = np.where(steps < 0, -2 * steps - 1, 2 * steps).astype(np.uint16)
    return (codes & 0xFF).astype(np.uint8), (codes >> 8).astype(np.uint8)


def _unpack(low: np.ndarray, high: np.ndarray, unit_angstrom: float) -> np.ndarray:
    """(frames, residues, 4, 3) float32, Angstrom."""
    codes = low.astype(np.int32) | high.astype(np.int32) << 8
    units = np.cumsum(np.where(codes & 1, -(codes + 1) // 2, codes // 2), axis=0, dtype=np.int32)
    units[:, :, _OTHERS] += units[:, :, [_CA]]
    return (units * unit_angstrom).astype(np.float32)

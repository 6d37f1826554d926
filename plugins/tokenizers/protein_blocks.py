"""Protein Blocks: 16 local backbone shapes of five residues, recognised by their eight dihedral angles."""

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from emprot_core.batch import MISSING_ID
from emprot_core.contracts import Structure
from emprot_core.registry import register

from .geometry import frame_chunks, phi_psi, unbroken_stretches

BLOCK_LETTERS = "abcdefghijklmnop"
# Rows a to p; psi(n-2) phi(n-1) psi(n-1) phi(n) psi(n) phi(n+1) psi(n+1) phi(n+2) of residue n, degrees.
# Source: de Brevern, Etchebest, Hazout, Proteins 41, 271-287 (2000).
REFERENCE_ANGLES = np.array(
    [
        [41.14, 75.53, 13.92, -99.80, 131.88, -96.27, 122.08, -99.68],
        [108.24, -90.12, 119.54, -92.21, -18.06, -128.93, 147.04, -99.90],
        [-11.61, -105.66, 94.81, -106.09, 133.56, -106.93, 135.97, -100.63],
        [141.98, -112.79, 132.20, -114.79, 140.11, -111.05, 139.54, -103.16],
        [133.25, -112.37, 137.64, -108.13, 133.00, -87.30, 120.54, 77.40],
        [116.40, -105.53, 129.32, -96.68, 140.72, -74.19, -26.65, -94.51],
        [0.40, -81.83, 4.91, -100.59, 85.50, -71.65, 130.78, 84.98],
        [119.14, -102.58, 130.83, -67.91, 121.55, 76.25, -2.95, -90.88],
        [130.68, -56.92, 119.26, 77.85, 10.42, -99.43, 141.40, -98.01],
        [114.32, -121.47, 118.14, 82.88, -150.05, -83.81, 23.35, -85.82],
        [117.16, -95.41, 140.40, -59.35, -29.23, -72.39, -25.08, -76.16],
        [139.20, -55.96, -32.70, -68.51, -26.09, -74.44, -22.60, -71.74],
        [-39.62, -64.73, -39.52, -65.54, -38.88, -66.89, -37.76, -70.19],
        [-35.34, -65.03, -38.12, -66.34, -29.51, -89.10, -2.91, 77.90],
        [-45.29, -67.44, -27.72, -87.27, 5.13, 77.49, 30.71, -93.23],
        [-27.09, -86.14, 0.30, 59.85, 21.51, -96.30, 132.67, -92.91],
    ]
)


@register("tokenizer", "protein_blocks")
class ProteinBlocks:
    """Protein Blocks a to p as IDs 0 to 15; the first and last two residues of each unbroken stretch have none.

    Source: de Brevern, Etchebest, Hazout, Proteins 41, 271-287 (2000).
    """

    name = "protein_blocks"
    num_clusters = len(BLOCK_LETTERS)

    def fit(self, structures: Iterable[Structure]) -> None:
        """Do nothing, because the vocabulary is fixed."""

    def encode(self, structure: Structure) -> np.ndarray:
        """(frames, residues) int16: the block with the smallest root mean square difference of the eight angles."""
        num_frames, num_residues = structure.coordinates.shape[:2]
        ids = np.full((num_frames, num_residues), MISSING_ID, dtype=np.int16)
        for residues in unbroken_stretches(structure.segments):
            inner = slice(residues.start + 2, residues.stop - 2)
            if inner.start >= inner.stop:
                continue
            for frames in frame_chunks(num_frames, REFERENCE_ANGLES.size * num_residues):
                stretch = structure.coordinates[frames, residues].astype(np.float64)
                ids[frames, inner] = _nearest_blocks(_block_angles(stretch))
        return ids

    def description(self) -> Mapping[str, Any]:
        """IDs 0 to 15 are the blocks a to p."""
        return {"name": self.name, "classes": BLOCK_LETTERS}

    def arrays(self) -> Mapping[str, np.ndarray]:
        """No arrays: nothing is learnt."""
        return {}


def _block_angles(stretch: np.ndarray) -> np.ndarray:
    """(frames, residues - 4, 8) degrees, in the order of REFERENCE_ANGLES, of a stretch (frames, residues, 4, 3)."""
    phi, psi = phi_psi(stretch)
    blocks = stretch.shape[1] - 4
    # psi[k] belongs to residue k and phi[k] to residue k + 1, so one offset k serves such a pair.
    columns = [angle[:, k : k + blocks] for k in range(4) for angle in (psi, phi)]
    return np.moveaxis(np.stack(columns), 0, -1)  # each angle is contiguous in memory


def _nearest_blocks(angles: np.ndarray) -> np.ndarray:
    """IDs (frames, residues) for angles (frames, residues, 8) in degrees; MISSING_ID where one is not finite."""
    columns = np.moveaxis(angles, -1, 0)
    best = np.full(angles.shape[:-1], np.inf)
    nearest = np.full(angles.shape[:-1], MISSING_ID, dtype=np.int16)
    distance, difference, around = (np.empty(angles.shape[:-1]) for _ in range(3))
    for block, reference in enumerate(REFERENCE_ANGLES):
        distance.fill(0.0)
        for column, angle in zip(columns, reference, strict=True):
            np.abs(np.subtract(column, angle, out=difference), out=difference)
            np.minimum(difference, np.subtract(360.0, difference, out=around), out=difference)
            distance += np.multiply(difference, difference, out=difference)
        nearer = distance < best  # False where an angle is not finite
        nearest[nearer] = block
        np.minimum(best, distance, out=best)
    return nearest

"""How readers divide a trajectory into chunks, and where a chain is broken."""

from collections.abc import Iterator

import numpy as np

CHAIN_BREAK_ANGSTROM = 2.0
"""C and the next N are not bonded above this distance; a peptide bond is 1.33 Angstrom long."""
CHUNK_BYTES = 1 << 23
"""What a reader keeps in memory: the coordinates of all atoms in the file for the frames of a chunk."""


def frames_per_chunk(num_atoms: int) -> int:
    """How many frames of num_atoms atoms, three float32 each, fit in one chunk."""
    return max(1, CHUNK_BYTES // (12 * max(1, num_atoms)))


def frame_slices(num_frames: int, num_atoms: int) -> Iterator[slice]:
    """Slices that cover the frames, one per chunk."""
    step = frames_per_chunk(num_atoms)
    return (slice(start, min(start + step, num_frames)) for start in range(0, num_frames, step))


def chain_segments(backbone: np.ndarray) -> np.ndarray:
    """The number (residues,) int32 of the unbroken stretch of each residue, from one frame (residues, 4, 3).

    A stretch ends where C and the next N are more than CHAIN_BREAK_ANGSTROM apart.
    """
    bonded = np.linalg.norm(backbone[1:, 0] - backbone[:-1, 2], axis=-1) <= CHAIN_BREAK_ANGSTROM
    return np.concatenate([[0], np.cumsum(~bonded)]).astype(np.int32)

"""How readers cut a trajectory, and where a chain is broken."""

from collections.abc import Iterator

import numpy as np

CHAIN_BREAK_ANGSTROM = 2.0
"""A peptide bond is 1.33 Angstrom long."""
CHUNK_BYTES = 1 << 23
"""Of all atoms that a file holds for the frames of a chunk: what a reader keeps in memory."""
RESIDUE_TYPE = np.dtype([("number", np.int32), ("name", "U4")])
"""Structure.residues."""


def frames_per_chunk(num_atoms: int) -> int:
    """Frames of num_atoms atoms, three float32 each, that one chunk may hold."""
    return max(1, CHUNK_BYTES // (12 * max(1, num_atoms)))


def frame_slices(num_frames: int, num_atoms: int) -> Iterator[slice]:
    """Slices that cover the frames, a chunk each."""
    step = frames_per_chunk(num_atoms)
    return (slice(start, min(start + step, num_frames)) for start in range(0, num_frames, step))


def chain_segments(backbone: np.ndarray) -> np.ndarray:
    """(residues,) int32 numbers of the unbroken stretches of one frame (residues, 4, 3).

    A stretch ends where C and the next N are not within CHAIN_BREAK_ANGSTROM of each other.
    """
    bonded = np.linalg.norm(backbone[1:, 0] - backbone[:-1, 2], axis=-1) <= CHAIN_BREAK_ANGSTROM
    return np.concatenate([[0], np.cumsum(~bonded)]).astype(np.int32)

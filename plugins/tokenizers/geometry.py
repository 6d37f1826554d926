"""Backbone geometry that the tokenizers share. Coordinates are in Angstrom; computation is in float64."""

from collections.abc import Iterator

import numpy as np

N, CA, C = 0, 1, 2
"""Indices of the atoms on the third axis of Structure.coordinates."""
CHUNK_VALUES = 1 << 22
"""How many float64 a chunk of frames may take: about 32 MB, so that memory does not grow with a trajectory."""


def frame_chunks(num_frames: int, values_per_frame: int) -> Iterator[slice]:
    """Slices that cover the frames, each small enough to compute with."""
    step = max(1, CHUNK_VALUES // values_per_frame)
    return (slice(start, min(start + step, num_frames)) for start in range(0, num_frames, step))


def unbroken_stretches(segments: np.ndarray) -> list[slice]:
    """The runs of residues without a chain break, from Structure.segments (residues,)."""
    starts = [0, *(np.flatnonzero(np.diff(segments)) + 1).tolist()]
    return [slice(start, stop) for start, stop in zip(starts, [*starts[1:], len(segments)], strict=True)]


def dihedral(a: np.ndarray, b: np.ndarray, c: np.ndarray, d: np.ndarray) -> np.ndarray:
    """The angle (...,) in radians, -pi to pi, between the planes of a b c and b c d, each (..., 3); IUPAC's sign."""
    middle = c - b
    left, right = np.cross(b - a, middle), np.cross(middle, d - c)
    sine = np.linalg.norm(middle, axis=-1) * ((b - a) * right).sum(axis=-1)
    return np.arctan2(sine, (left * right).sum(axis=-1))


def phi_psi(stretch: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Backbone torsions in degrees of an unbroken stretch (frames, residues, 4, 3).

    Returns:
        phi of residues 1 .. R-1 and psi of residues 0 .. R-2, both (frames, residues - 1).
    """
    n, ca, c = stretch[:, :, N], stretch[:, :, CA], stretch[:, :, C]
    phi = dihedral(c[:, :-1], n[:, 1:], ca[:, 1:], c[:, 1:])
    psi = dihedral(n[:, :-1], ca[:, :-1], c[:, :-1], n[:, 1:])
    return np.degrees(phi), np.degrees(psi)


def ideal_beta_carbons(coordinates: np.ndarray) -> np.ndarray:
    """The position (..., 3) of C-beta in an ideal residue, computed from the backbone (..., 4, 3).

    The constants come from tetrahedral geometry with mean bond lengths, as in Yang et al., PNAS 117, 1496 (2020).
    """
    b = coordinates[..., CA, :] - coordinates[..., N, :]
    c = coordinates[..., C, :] - coordinates[..., CA, :]
    return -0.58273431 * np.cross(b, c) + 0.56802827 * b - 0.54067466 * c + coordinates[..., CA, :]

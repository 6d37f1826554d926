"""Checks what readers return."""

from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np

from emprot_core.contracts import Reader, Structure
from emprot_core.errors import EmprotError


def read_chunks(reader: Reader, path: Path) -> Iterator[Structure]:
    """The chunks of a trajectory, checked.

    Raises:
        EmprotError: the file is bad, a chunk has a wrong shape, a coordinate is not finite, or there are no frames.
    """
    read = reader.read(path)
    chunks: Iterable[Structure] = [read] if isinstance(read, Structure) else read
    num_frames, residues = 0, -1
    for chunk in chunks:
        _check_shapes(chunk, path, residues)
        _check_finite(chunk, path, num_frames)
        num_frames, residues = num_frames + len(chunk.coordinates), chunk.coordinates.shape[1]
        yield chunk
    if not num_frames:
        raise EmprotError(f"{path} has no frames, expected one or more; leave it out or copy it again")


def residue_sequence(structure: Structure) -> str:
    """The names of the residues, joined by spaces; "" if unknown."""
    return "" if structure.residues is None else " ".join(structure.residues["name"].tolist())


def _check_shapes(chunk: Structure, path: Path, residues: int) -> None:
    shape = chunk.coordinates.shape
    atoms = (0, 3) if chunk.cluster_ids is not None else (4, 3)
    if len(shape) != 4 or shape[2:] != atoms or 0 in shape[:2] or chunk.segments.shape != shape[1:2]:
        raise EmprotError(
            f"{path}: the reader gave coordinates of shape {shape} and segments of shape "
            f"{chunk.segments.shape}, expected (frames, residues, {atoms[0]}, 3) and (residues,); correct the reader"
        )
    if residues not in (-1, shape[1]):
        raise EmprotError(
            f"{path}: the reader gave a chunk of {shape[1]} residues after one of {residues}; correct the reader"
        )


def _check_finite(chunk: Structure, path: Path, first_frame: int) -> None:
    if np.isfinite(chunk.coordinates).all():
        return
    frame, residue = (int(i) for i in np.argwhere(~np.isfinite(chunk.coordinates).all(axis=(2, 3)))[0])
    called = (
        "" if chunk.residues is None else f" ({chunk.residues['name'][residue]} {chunk.residues['number'][residue]})"
    )
    raise EmprotError(
        f"{path}: frame {first_frame + frame}, residue {residue}{called} has a coordinate that is not finite; "
        "repair the trajectory, or leave it out"
    )

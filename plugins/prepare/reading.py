"""Checks what readers return."""

from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np

from emprot_core.breach import broken, check_method
from emprot_core.contracts import Reader, Structure
from emprot_core.errors import EmprotError


def read_chunks(reader: Reader, path: Path) -> Iterator[Structure]:
    """The chunks of a trajectory, checked.

    Raises:
        EmprotError: the file is bad, a chunk has a wrong shape, a coordinate is not finite, or there are no frames.
    """
    check_method(reader, "read", "path")
    read = reader.read(path)
    if (isinstance(read, tuple) and not isinstance(read, Structure)) or not isinstance(read, Iterable):
        raise broken(reader, "read() to give a Structure, or an iterable of them", read, f"see what it gave for {path}")
    chunks: Iterable[Structure] = [read] if isinstance(read, Structure) else read
    num_frames, residues = 0, -1
    for chunk in chunks:
        if not isinstance(chunk, Structure):
            raise broken(reader, "each chunk to be a Structure", chunk, "return emprot_core.contracts.Structure")
        _check_shapes(reader, chunk, path, residues)
        _check_finite(chunk, path, num_frames)
        num_frames, residues = num_frames + len(chunk.coordinates), chunk.coordinates.shape[1]
        yield chunk
    if not num_frames:
        raise EmprotError(f"{path} has no frames, expected one or more; leave it out or copy it again")


def residue_sequence(structure: Structure) -> str:
    """The names of the residues, joined by spaces; "" if unknown."""
    return "" if structure.residues is None else " ".join(structure.residues["name"].tolist())


def _check_shapes(reader: Reader, chunk: Structure, path: Path, residues: int) -> None:
    for name, value in (("coordinates", chunk.coordinates), ("segments", chunk.segments)):
        if not isinstance(value, np.ndarray):
            raise broken(reader, f"{name} to be a NumPy array", value, "convert it with np.asarray")
    shape = chunk.coordinates.shape
    atoms = (0, 3) if chunk.cluster_ids is not None else (4, 3)
    if len(shape) != 4 or shape[2:] != atoms or 0 in shape[:2] or chunk.segments.shape != shape[1:2]:
        wanted = f"coordinates of shape (frames, residues, {atoms[0]}, 3) and segments of shape (residues,)"
        raise broken(reader, wanted, f"{shape} and {chunk.segments.shape} for {path}", "correct the reader")
    if residues not in (-1, shape[1]):
        got = f"one of {shape[1]} residues after one of {residues} in {path}"
        raise broken(reader, "every chunk to have the same residues", got, "correct the reader")


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

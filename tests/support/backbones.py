"""Small proteins and files of them, for the tests of readers."""

from collections.abc import Iterable
from pathlib import Path

import numpy as np

from emprot_core.contracts import Reader, Structure

NAMES = ("N", "CA", "CB", "C", "O")
ELEMENTS = {"N": 7, "C": 6, "O": 8, "H": 1}
BACKBONE = [0, 1, 3, 4]
"""Places of N, CA, C and O among NAMES."""
# N, CA, CB, C and O of a residue of an extended chain, Angstrom; residues alternate and are 3.6 A apart along x.
_UNIT = np.array([[0.0, 0.0, 0.0], [1.2, 0.8, 0.0], [1.2, 1.7, 1.2], [2.4, -0.1, 0.0], [2.4, -1.3, 0.0]])
_TURN = np.array([1.0, -1.0, -1.0])


def extended_chain(num_frames: int, num_residues: int, seed: int = 0) -> np.ndarray:
    """(frames, residues, 5, 3) float32: an extended chain whose atoms shake by about 0.02 A."""
    turns = np.where(np.arange(num_residues)[:, None, None] % 2, _TURN, 1.0)
    chain = _UNIT * turns + np.array([3.6, 0.0, 0.0]) * np.arange(num_residues)[:, None, None]
    shake = np.random.default_rng(seed).normal(scale=0.02, size=(num_frames, num_residues, 5, 3))
    return (chain + shake).astype(np.float32)


def pdb_text(frames: np.ndarray, first: int = 1, skip: tuple[tuple[int, str], ...] = (), name: str = "ALA") -> str:
    """Models of (frames, residues, 5, 3); `skip` names atoms to leave out, as (residue number, atom)."""
    lines = []
    for model, frame in enumerate(frames, start=1):
        lines.append(f"MODEL     {model:4d}")
        serial = 0
        for number, residue in enumerate(frame, start=first):
            for atom, position in zip(NAMES, residue, strict=True):
                if (number, atom) in skip:
                    continue
                serial += 1
                x, y, z = position
                lines.append(
                    f"ATOM  {serial:5d}  {atom:<3s} {name} A{number:4d}    {x:8.3f}{y:8.3f}{z:8.3f}  1.00  0.00"
                    f"          {atom[0]:>2s}"
                )
        lines.append("ENDMDL")
    return "\n".join([*lines, "END", ""])


def write_pdb(path: Path, frames: np.ndarray, **options: object) -> Path:
    path.write_text(pdb_text(frames, **options))  # type: ignore[arg-type]
    return path


def read_all(reader: Reader, path: Path) -> Structure:
    """The chunks of a trajectory as one structure; notes of them all."""
    read = reader.read(path)
    chunks: list[Structure] = [read] if isinstance(read, Structure) else list(read)
    notes = dict.fromkeys(note for chunk in chunks for note in chunk.notes)
    joined = chunks[0]._replace(coordinates=_joined(c.coordinates for c in chunks), notes=tuple(notes))
    if joined.cluster_ids is None:
        return joined
    return joined._replace(cluster_ids=_joined(c.cluster_ids for c in chunks if c.cluster_ids is not None))


def _joined(arrays: Iterable[np.ndarray]) -> np.ndarray:
    return np.concatenate(list(arrays))

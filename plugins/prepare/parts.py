"""The parts of a Prepare: trajectories that were encoded, in a folder, until the stores are written.

A part is one file of IDs per tokenizer, its structure if that is known, and a record <part>.json, which is renamed into
place last. A part without its record does not count. If the key of a record differs, its part was made from other files
or by other tokenizers.
"""

import hashlib
import json
import os
import shutil
from pathlib import Path
from typing import NamedTuple

import numpy as np

from emprot_core.contracts import Structure, Tokenizer
from emprot_core.data.structures import residue_table


class Part(NamedTuple):
    """A trajectory that was encoded."""

    name: str
    path: str
    group: str
    time_step_ns: float
    num_frames: int
    num_residues: int
    sequence: str  # reading.residue_sequence
    source: dict[str, str] | None
    notes: list[str]
    read_s: float
    encode_s: dict[str, float]  # CPU seconds, by tokenizer
    sha256: dict[str, str]  # of the IDs, by tokenizer
    empty_residues: dict[str, list[int]]  # residues without an ID in any frame, by tokenizer
    num_ends: int  # how many residues may lack IDs without harm: two per end of a stretch; 0 for IDs of the user


def find_part(folder: Path, name: str, key: str) -> Part | None:
    """The part of a trajectory that was encoded earlier with the same key, or None."""
    path = part_stem(folder, name).with_suffix(".json")
    if not path.is_file():
        return None
    record = json.loads(path.read_text(encoding="utf-8"))
    return Part(**record["part"]) if record["key"] == key else None


def remove_unfinished(folder: Path) -> None:
    """Remove what killed processes have left: files without a record, and stores that were not published."""
    finished = {path.stem for path in folder.glob("*.json")}
    for path in folder.iterdir():
        if path.is_dir():
            shutil.rmtree(path)
        elif path.suffix == ".partial" or path.name.partition(".")[0] not in finished:
            path.unlink()


def part_ids(folder: Path, part: Part, tokenizer: Tokenizer) -> np.ndarray:
    """(frames, residues) IDs of a part, memory-mapped."""
    stem = part_stem(folder, part.name)
    path = stem.with_name(f"{stem.name}.{tokenizer.name}.ids")
    return np.memmap(path, id_type(tokenizer), mode="r", shape=(part.num_frames, part.num_residues))


def part_structure(folder: Path, part: Part) -> tuple[np.ndarray | None, np.ndarray | None]:
    """The residues (N,) and the backbone (N, 4, 3) of the first frame of a part; None where they are unknown."""
    path = _structure_file(part_stem(folder, part.name))
    if not path.is_file():
        return None, None
    with np.load(path, allow_pickle=False) as arrays:
        return arrays["residues"], arrays.get("backbone")


def write_structure(stem: Path, first: Structure) -> None:
    """Keep the residues of a trajectory, and the backbone of its first frame if there are coordinates."""
    if first.residues is None:
        return
    arrays = {"residues": residue_table(first.residues)}
    if first.coordinates.shape[2]:
        arrays["backbone"] = first.coordinates[0]
    np.savez(_structure_file(stem), **arrays)  # type: ignore[arg-type]


def _structure_file(stem: Path) -> Path:
    return stem.with_name(f"{stem.name}.structure.npz")


def part_stem(folder: Path, name: str) -> Path:
    """The path of a part without suffix; the file name is a hash, so it is short for any trajectory name."""
    return folder / hashlib.sha256(name.encode()).hexdigest()[:24]


def write_record(stem: Path, part: Part, key: str) -> None:
    """Write the record of a part, which makes it count."""
    temporary = stem.with_suffix(".partial")
    temporary.write_text(json.dumps({"key": key, "part": part._asdict()}), encoding="utf-8")
    os.replace(temporary, stem.with_suffix(".json"))


def id_type(tokenizer: Tokenizer) -> np.dtype:
    """The dtype in which the IDs of a part are kept."""
    return np.dtype(np.int16 if tokenizer.num_clusters <= np.iinfo(np.int16).max else np.int32)

"""The parts of a Prepare: trajectories that were encoded, in a folder, until the stores are written.

A part is one file of IDs per tokenizer, its structure if that is known, and a record <part>.json, which is renamed into
place last. A part without its record does not count. If the key of a record differs, its part was made from other files
or by other tokenizers.
"""

import hashlib
import logging
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import numpy as np

from emprot_core.contracts import Structure, Tokenizer
from emprot_core.data.structures import residue_table
from emprot_core.disk import sync_directory
from emprot_core.files import Damaged, fault_of, read_hashed_json, sha256, write_hashed_json, written_atomically

_log = logging.getLogger("emprot")


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
    structure_sha256: str  # of the file of its structure, "" if there is none
    num_ends: int  # how many residues may lack IDs without harm: two per end of a stretch; 0 for IDs of the user


def find_part(folder: Path, name: str, key: str) -> Part | None:
    """The part of a trajectory that was encoded earlier with the same key, or None. One that is damaged is logged."""
    path = part_stem(folder, name).with_suffix(".json")
    if not path.is_file():
        return None
    try:
        record = read_hashed_json(path)
        part = Part(**record["part"])
    except (Damaged, KeyError, TypeError) as damage:
        _log.warning("%s; %s is encoded again", damage, name)
        return None
    if record["key"] != key:
        return None
    stem = part_stem(folder, name)
    for tokenizer, digest in part.sha256.items():
        if fault := fault_of(_id_file(stem, tokenizer), digest):
            _log.warning("%s %s; %s is encoded again", _id_file(stem, tokenizer), fault, name)
            return None
    structure = _structure_file(stem)
    if part.structure_sha256 and fault_of(structure, part.structure_sha256):
        _log.warning("%s is missing or damaged; %s is encoded again", structure, name)
        return None
    return part


def remove_unfinished(folder: Path) -> None:
    """Remove what killed processes have left: files without a record, and stores that were not published."""
    finished = {path.name.partition(".")[0] for path in folder.glob("*.json")}
    for path in folder.iterdir():
        if path.is_dir():
            shutil.rmtree(path)
        elif path.suffix == ".partial" or path.name.partition(".")[0] not in finished:
            path.unlink()


@contextmanager
def unfinished(folder: Path, name: str) -> Iterator[Path]:
    """The stem for the files of a part that is being made, in a folder of their own.

    When the block has ended they are renamed into the folder of parts, the record last. So a trajectory may be encoded
    twice at a time, by a worker that was believed lost: the files are the same.
    """
    stem = part_stem(folder, name)
    own = Path(tempfile.mkdtemp(".partial", f".{stem.name}.", folder))
    try:
        yield own / stem.name
        take_in(own, folder)
    finally:
        shutil.rmtree(own, ignore_errors=True)


def take_in(own: Path, folder: Path) -> None:
    """Rename the files of a part into the folder of parts, the record last: from then on it counts."""
    for is_record in (False, True):
        for path in list(own.iterdir()):
            if (path.suffix == ".json") == is_record:
                os.replace(path, folder / path.name)
        sync_directory(folder)


def part_ids(folder: Path, part: Part, tokenizer: Tokenizer) -> np.ndarray:
    """(frames, residues) IDs of a part, memory-mapped."""
    path = _id_file(part_stem(folder, part.name), tokenizer.name)
    return np.memmap(path, id_type(tokenizer), mode="r", shape=(part.num_frames, part.num_residues))


def part_structure(folder: Path, part: Part) -> tuple[np.ndarray | None, np.ndarray | None]:
    """The residues (N,) and the backbone (N, 4, 3) of the first frame of a part; None where they are unknown."""
    path = _structure_file(part_stem(folder, part.name))
    if not path.is_file():
        return None, None
    with np.load(path, allow_pickle=False) as arrays:
        return arrays["residues"], arrays.get("backbone")


def write_structure(stem: Path, first: Structure) -> str:
    """Keep the residues of a trajectory, and the backbone of its first frame if there are coordinates.

    Returns:
        The SHA-256 of the file, "" if the residues are unknown.
    """
    if first.residues is None:
        return ""
    arrays = {"residues": residue_table(first.residues)}
    if first.coordinates.shape[2]:
        arrays["backbone"] = first.coordinates[0]
    with written_atomically(_structure_file(stem)) as file:
        np.savez(file, **arrays)  # type: ignore[arg-type]
    return sha256(_structure_file(stem))


def _id_file(stem: Path, tokenizer: str) -> Path:
    return stem.with_name(f"{stem.name}.{tokenizer}.ids")


def _structure_file(stem: Path) -> Path:
    return stem.with_name(f"{stem.name}.structure.npz")


def part_stem(folder: Path, name: str) -> Path:
    """The path of a part without suffix; the file name is a hash, so it is short for any trajectory name."""
    return folder / hashlib.sha256(name.encode()).hexdigest()[:24]


def write_record(stem: Path, part: Part, key: str) -> None:
    """Write the record of a part, which makes it count."""
    write_hashed_json(stem.with_suffix(".json"), {"key": key, "part": part._asdict()})


def id_type(tokenizer: Tokenizer) -> np.dtype:
    """The dtype in which the IDs of a part are kept."""
    return np.dtype(np.int16 if tokenizer.num_clusters <= np.iinfo(np.int16).max else np.int32)

"""Encodes one trajectory file into cluster IDs in a folder of parts; this is the work of a Prepare worker.

A part is one file of IDs per tokenizer and a record <part>.json, which is renamed into place last. A part without its
record does not count. If the key of a record differs, its part was made from other files or by other tokenizers.
"""

import hashlib
import json
import os
import shutil
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from emprot_core.batch import MISSING_ID
from emprot_core.contracts import Reader, Structure, Tokenizer
from emprot_core.data.store_format import check_ids
from emprot_core.errors import EmprotError

from .reading import read_chunks, residue_sequence


class Encoder(NamedTuple):
    """What a worker needs to know besides the trajectory."""

    reader: Reader
    tokenizers: Sequence[Tokenizer]
    folder: Path


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


def encode_trajectory(encoder: Encoder, name: str, path: Path, key: str) -> Part:
    """Encode a trajectory and store it as a part, with one chunk in memory at a time.

    Raises:
        EmprotError: the file is bad, or a tokenizer refuses it or gives wrong IDs; the message names the file.
    """
    stem = part_stem(encoder.folder, name)
    outputs = [_IdFile(stem.with_name(f"{stem.name}.{t.name}.ids"), t, path) for t in encoder.tokenizers]
    first, num_frames, notes, started = None, 0, {}, time.process_time()
    try:
        for chunk in read_chunks(encoder.reader, path):
            first = chunk if first is None else first
            notes.update(dict.fromkeys(chunk.notes))
            for output in outputs:
                output.add(chunk, num_frames)
            num_frames += len(chunk.coordinates)
    except BaseException:
        for output in outputs:
            output.remove()
        raise
    for output in outputs:
        output.close()
    assert first is not None
    spent = {output.name: output.seconds for output in outputs}
    part = Part(
        name=name,
        path=str(path),
        group=first.group or name,
        time_step_ns=float(first.time_step_ns),
        num_frames=num_frames,
        num_residues=first.coordinates.shape[1],
        sequence=residue_sequence(first),
        source=dict(first.source) if first.source else None,
        notes=list(notes),
        read_s=time.process_time() - started - sum(spent.values()),
        encode_s=spent,
        sha256={output.name: output.digest.hexdigest() for output in outputs},
        empty_residues={output.name: output.empty_residues() for output in outputs},
        num_ends=0 if first.cluster_ids is not None else 4 * (1 + int((np.diff(first.segments) != 0).sum())),
    )
    _write_record(stem, part, key)
    return part


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
    return np.memmap(path, _id_type(tokenizer), mode="r", shape=(part.num_frames, part.num_residues))


def part_stem(folder: Path, name: str) -> Path:
    """The path of a part without suffix; the file name is a hash, so it is short for any trajectory name."""
    return folder / hashlib.sha256(name.encode()).hexdigest()[:24]


def _write_record(stem: Path, part: Part, key: str) -> None:
    temporary = stem.with_suffix(".partial")
    temporary.write_text(json.dumps({"key": key, "part": part._asdict()}), encoding="utf-8")
    os.replace(temporary, stem.with_suffix(".json"))


def _id_type(tokenizer: Tokenizer) -> np.dtype:
    return np.dtype(np.int16 if tokenizer.num_clusters <= np.iinfo(np.int16).max else np.int32)


class _IdFile:
    """The IDs of one tokenizer, appended chunk by chunk."""

    def __init__(self, file: Path, tokenizer: Tokenizer, source: Path):
        self.tokenizer, self.source, self.name = tokenizer, source, tokenizer.name
        self.seconds, self.digest = 0.0, hashlib.sha256()
        self._file = file.open("wb")
        self._seen: np.ndarray | None = None

    def add(self, chunk: Structure, first_frame: int) -> None:
        started = time.process_time()
        try:
            ids = self.tokenizer.encode(chunk)
        except ValueError as error:
            raise EmprotError(f"{self.source}: {error}") from error
        except IndexError as error:
            if chunk.coordinates.shape[2]:
                raise
            raise EmprotError(
                f"{self.source} holds cluster IDs and no coordinates, which {self.name} needs; "
                "bind Prepare.tokenizers to [@tokenizers.precomputed()]"
            ) from error
        self.seconds += time.process_time() - started
        if ids.shape != chunk.coordinates.shape[:2]:
            raise EmprotError(
                f"{self.source}: {self.name} gave IDs of shape {ids.shape}, expected {chunk.coordinates.shape[:2]}; "
                "correct the tokenizer"
            )
        remedy = f"correct the ID, or num_clusters of {self.name}"
        check_ids(ids, self.tokenizer.num_clusters, str(self.source), remedy, first_frame)
        known = (ids != MISSING_ID).any(axis=0)
        self._seen = known if self._seen is None else self._seen | known
        block = np.ascontiguousarray(ids, _id_type(self.tokenizer)).data
        self.digest.update(block)
        self._file.write(block)

    def empty_residues(self) -> list[int]:
        return [] if self._seen is None else np.flatnonzero(~self._seen).tolist()

    def close(self) -> None:
        self._file.close()

    def remove(self) -> None:
        self._file.close()
        Path(self._file.name).unlink(missing_ok=True)

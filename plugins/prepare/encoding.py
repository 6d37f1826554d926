"""Encodes one trajectory file into a part: cluster IDs in a folder of parts. This is the work of a Prepare worker."""

import hashlib
import os
import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from emprot_core.batch import MISSING_ID
from emprot_core.breach import broken, check_attribute, check_method
from emprot_core.contracts import Reader, Structure, Tokenizer
from emprot_core.data.store_format import check_ids
from emprot_core.errors import EmprotError

from .parts import Part, id_type, unfinished, write_record, write_structure
from .reading import read_chunks, residue_sequence


class Encoder(NamedTuple):
    """What a worker needs to know besides the trajectory."""

    reader: Reader
    tokenizers: Sequence[Tokenizer]
    folder: Path


def encode_trajectory(encoder: Encoder, name: str, path: Path, key: str) -> Part:
    """Encode a trajectory and store it as a part, with one chunk in memory at a time.

    Raises:
        EmprotError: the file is bad, or a tokenizer refuses it or gives wrong IDs; the message names the file.
    """
    with unfinished(encoder.folder, name) as stem, ExitStack() as stack:
        outputs = [_IdFile(stem.with_name(f"{stem.name}.{t.name}.ids"), t, path) for t in encoder.tokenizers]
        for output in outputs:
            stack.enter_context(output.file)
        part, first = _encode(encoder.reader, name, path, outputs)
        part = part._replace(structure_sha256=write_structure(stem, first))
        write_record(stem, part, key)
    return part


def _encode(reader: Reader, name: str, path: Path, outputs: Sequence["_IdFile"]) -> tuple[Part, Structure]:
    """Write the IDs; give the part without its structure, and the first chunk."""
    first, num_frames, notes, started = None, 0, {}, time.process_time()
    for chunk in read_chunks(reader, path):
        first = chunk if first is None else first
        notes.update(dict.fromkeys(chunk.notes))
        for output in outputs:
            output.add(chunk, num_frames)
        num_frames += len(chunk.coordinates)
    for output in outputs:
        output.sync()
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
        structure_sha256="",
        num_ends=0 if first.cluster_ids is not None else 4 * (1 + int((np.diff(first.segments) != 0).sum())),
    )
    return part, first


def check_tokenizers(tokenizers: Sequence[Tokenizer]) -> None:
    """
    Raises:
        ContractBroken: one lacks a name or a method.
        EmprotError: there is none, or two have one name.
    """
    for each in tokenizers:
        check_attribute(each, "name", "a str", lambda name: isinstance(name, str))
        check_method(each, "fit", "structures")
        check_method(each, "encode", "structure")
        check_method(each, "description")
        check_method(each, "arrays")
    names = [tokenizer.name for tokenizer in tokenizers]
    if not names or len(set(names)) < len(names):
        raise EmprotError(f"Prepare.tokenizers are {names}, expected one or more of different names")


def check_encoded(tokenizer: Tokenizer, ids: Any, chunk: Structure, where: str, first_frame: int) -> None:
    """
    Raises:
        StoreError: an ID that the file holds is out of range.
        ContractBroken: what a tokenizer gave for a chunk are no cluster IDs of its frames and residues.
    """
    check_attribute(tokenizer, "num_clusters", "an int", lambda number: isinstance(number, int))
    shape = chunk.coordinates.shape[:2]
    if not isinstance(ids, np.ndarray) or ids.shape != shape:
        raise broken(tokenizer, f"IDs (frames, residues) = {shape}", ids, f"correct encode; it was given {where}")
    if ids.dtype.kind not in "iu":
        raise broken(tokenizer, "IDs of an integer dtype", ids, "round them yourself, and give .astype(np.int32)")
    if chunk.cluster_ids is not None:  # they came with the file
        remedy = f"correct the ID, or num_clusters of {tokenizer.name}"
        check_ids(ids, tokenizer.num_clusters, where, remedy, first_frame)
    wrong = (ids < MISSING_ID) | (ids >= tokenizer.num_clusters)
    if wrong.any():
        frame, residue = (int(i) for i in np.argwhere(wrong)[0])
        wanted = f"IDs from {MISSING_ID} (missing) to {tokenizer.num_clusters - 1}"
        got = f"{ids[frame, residue]} at frame {first_frame + frame}, residue {residue} of {where}"
        raise broken(tokenizer, wanted, got, "correct the ID, or num_clusters")


class _IdFile:
    """The IDs of one tokenizer, appended chunk by chunk."""

    def __init__(self, file: Path, tokenizer: Tokenizer, source: Path):
        self.tokenizer, self.source, self.name = tokenizer, source, tokenizer.name
        self.seconds, self.digest = 0.0, hashlib.sha256()
        self.file = file.open("wb")
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
        check_encoded(self.tokenizer, ids, chunk, str(self.source), first_frame)
        known = (ids != MISSING_ID).any(axis=0)
        self._seen = known if self._seen is None else self._seen | known
        block = np.ascontiguousarray(ids, id_type(self.tokenizer)).data
        self.digest.update(block)
        self.file.write(block)

    def empty_residues(self) -> list[int]:
        return [] if self._seen is None else np.flatnonzero(~self._seen).tolist()

    def sync(self) -> None:
        """Put the content on the disk."""
        self.file.flush()
        os.fsync(self.file.fileno())

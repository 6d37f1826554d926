"""Writes a trajectory store. `store_format` describes the files."""

import json
import math
import os
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from emprot_core.contracts import Vocabulary
from emprot_core.data.store_format import (
    FORMAT,
    STRUCTURE_ARRAYS,
    VERSIONS,
    StoreError,
    check_ids,
    make_index,
    sha256,
    shard_name,
)
from emprot_core.data.structures import StructureTable
from emprot_core.disk import make_directory, sync_directory, sync_file

SHARD_TOKENS = 1 << 26
"""The most IDs in a shard, unless a single trajectory has more."""
_BLOCK_TOKENS = 1 << 22
"""IDs converted and written at a time, so that a longer trajectory needs no more memory."""


class StoreWriter:
    """Writes a store beside its final place and renames it when complete, so nobody sees a half-written store.

    with StoreWriter("my_store", Vocabulary("mine", 500, {})) as writer:
        writer.add("run1", "P12345", ids, time_step_ns=0.2)
    """

    def __init__(self, directory: str | Path, vocabulary: Vocabulary, sources: Sequence[Mapping[str, Any]] = ()):
        """
        Args:
            sources: JSON-like records of where the data come from: source, version, licence.

        Raises:
            StoreError: the directory exists, or the vocabulary cannot be written as JSON.
        """
        self.directory = Path(directory)
        if self.directory.exists():
            raise StoreError(f"{self.directory} exists; remove it or give another directory for the store")
        if vocabulary.num_clusters < 1:
            raise StoreError(f"{vocabulary.name}: num_clusters is {vocabulary.num_clusters}, expected at least 1")
        self.vocabulary = vocabulary
        self._sources: dict[str, Mapping[str, Any]] = {}
        self._dtype = np.dtype(np.int16 if vocabulary.num_clusters <= np.iinfo(np.int16).max else np.int32)
        self._temporary = self.directory.with_name(f".{self.directory.name}.{os.getpid()}.partial")
        self._names: set[str] = set()
        self._rows: list[tuple[Any, ...]] = []
        self._structures = StructureTable()
        self._shard: BinaryIO | None = None
        self._shard_tokens = 0
        self._num_shards = 0
        _to_json(f"the tokenizer of {vocabulary.name}", dict(vocabulary.tokenizer))
        for source in sources:
            self.add_source(source)
        self.prepared: dict[str, Any] = {}  # JSON values on how the frames were chosen

    def __enter__(self) -> "StoreWriter":
        self._new_parents = [parent for parent in self._temporary.parents if not parent.exists()]
        shutil.rmtree(self._temporary, ignore_errors=True)  # left by a process that was killed
        make_directory(self._temporary.parent)
        self._temporary.mkdir()
        return self

    def __exit__(self, error_type: type | None, *_: object) -> None:
        try:
            if error_type is None:
                self._finish()
        finally:
            if self._shard is not None:
                self._shard.close()
            shutil.rmtree(self._temporary, ignore_errors=True)
            for parent in self._new_parents:
                if not any(parent.iterdir()):
                    parent.rmdir()

    def add(
        self,
        name: str,
        group: str,
        ids: np.ndarray,
        time_step_ns: float = float("nan"),
        residues: np.ndarray | None = None,
        backbone: np.ndarray | None = None,
    ) -> None:
        """Append a trajectory.

        Args:
            name: the name of the trajectory, unique in the store.
            group: the protein (UniProt accession or the like). ByGroup keeps a group on one side of a split.
            ids: (frames, residues) integers in [-1, num_clusters); a memory map is read block by block.
            time_step_ns: time between frames; NaN if unknown.
            residues: (residues,) their numbers, names and chains, of contracts.RESIDUE_DTYPE.
            backbone: (residues, 4, 3) Angstrom, atoms N CA C O of one frame, NaN where unknown.

        Raises:
            StoreError: the name is empty or taken, or the shape, the dtype, an ID or the time step is wrong.
        """
        ids = np.asarray(ids)
        if not name or name in self._names:
            problem = f"there are two trajectories named {name!r}" if name else "a trajectory has no name"
            raise StoreError(f"{problem}; give each its own name")
        if ids.ndim != 2 or not ids.size or not np.issubdtype(ids.dtype, np.integer):
            raise StoreError(
                f"{name}: ids are {ids.dtype} of shape {ids.shape}, expected integers of shape (frames, residues), "
                "one of each or more; convert or reshape them"
            )
        if time_step_ns <= 0 or math.isinf(time_step_ns):
            raise StoreError(f"{name}: time_step_ns is {time_step_ns}, expected a positive number, or NaN if unknown")
        check_ids(ids, self.vocabulary.num_clusters, name, "correct the ID, or num_clusters of the vocabulary")
        self._structures.add(name, group, ids.shape[1], residues, backbone)
        if self._shard_tokens and self._shard_tokens + ids.size > SHARD_TOKENS:
            self._close_shard()
        self._names.add(name)
        self._rows.append((name, group, self._num_shards, self._shard_tokens, *ids.shape, time_step_ns))
        self._append(ids)

    def add_source(self, source: Mapping[str, Any]) -> None:
        """Record where data come from (JSON values). A record that is there already is not repeated."""
        self._sources.setdefault(_to_json("a source", dict(source)), source)

    def add_array(self, name: str, array: np.ndarray) -> None:
        """Keep an array that belongs to the vocabulary as <name>.npy; `TrajectoryStore.array` gives it back."""
        path = self._temporary / f"{name}.npy"
        if not name.isidentifier() or name in ("index", *STRUCTURE_ARRAYS) or path.exists():
            raise StoreError(f"{name!r} cannot name an array of a store; give another identifier")
        np.save(path, array, allow_pickle=False)

    def _append(self, ids: np.ndarray) -> None:
        if self._shard is None:
            self._shard = (self._temporary / shard_name(self._num_shards)).open("wb")
            self._write_header(self._shard)
        rows = max(1, _BLOCK_TOKENS // ids.shape[1])
        for start in range(0, len(ids), rows):
            self._shard.write(np.ascontiguousarray(ids[start : start + rows], self._dtype).data)
        self._shard_tokens += ids.size

    def _write_header(self, shard: BinaryIO) -> None:
        # numpy pads the header to the same length for any number of IDs, so it can be overwritten later.
        described = np.lib.format.dtype_to_descr(self._dtype)
        shape = {"descr": described, "fortran_order": False, "shape": (self._shard_tokens,)}
        np.lib.format.write_array_header_1_0(shard, shape)

    def _close_shard(self) -> None:
        assert self._shard is not None
        self._shard.seek(0)
        self._write_header(self._shard)
        self._shard.close()
        self._shard, self._shard_tokens = None, 0
        self._num_shards += 1

    def _finish(self) -> None:
        if not self._rows:
            raise StoreError(f"{self.directory}: a store needs at least one trajectory; none was added")
        self._close_shard()
        np.save(self._temporary / "index.npy", make_index(self._rows))
        for name, array in self._structures.arrays().items():
            np.save(self._temporary / f"{name}.npy", array)
        files = {p.name: {"size": p.stat().st_size, "sha256": sha256(p)} for p in sorted(self._temporary.iterdir())}
        vocabulary = {
            "name": self.vocabulary.name,
            "num_clusters": self.vocabulary.num_clusters,
            "tokenizer": dict(self.vocabulary.tokenizer),
        }
        sources = list(self._sources.values())
        meta = {"format": FORMAT, "version": VERSIONS[-1], "vocabulary": vocabulary, "sources": sources, "files": files}
        if self.prepared:
            meta["prepared"] = self.prepared
        (self._temporary / "store.json").write_text(_to_json("store.json", meta, indent=1) + "\n", encoding="utf-8")
        for path in self._temporary.iterdir():
            sync_file(path)
        sync_directory(self._temporary)
        try:
            os.rename(self._temporary, self.directory)
        except OSError as error:
            if not self.directory.exists():
                raise OSError(error.errno, error.strerror, str(self.directory)) from error
            raise StoreError(f"{self.directory} appeared while the store was written; remove it") from error
        sync_directory(self.directory.parent)


def _to_json(what: str, value: Mapping[str, Any], indent: int | None = None) -> str:
    try:
        return json.dumps(value, indent=indent, sort_keys=True, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise StoreError(f"{what} cannot be written as JSON ({error}); use strings, finite numbers, lists") from error

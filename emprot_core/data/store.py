"""The trajectory store: a directory of memory-mapped cluster IDs, no pickle. `store_format` describes the files."""

import hashlib
import json
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from emprot_core.contracts import Split
from emprot_core.data.checked_files import holds
from emprot_core.data.frame_reader import FrameReader
from emprot_core.data.remote_store import fetch_store, is_remote
from emprot_core.data.store_format import (
    CLASS_IDS,
    INDEX_FIELDS,
    SAMPLE_PREFIX,
    SAMPLE_ROOT,
    StoreError,
    check_ids,
    find_store,
    read_meta,
    sha256,
    shard_name,
    split_array,
    vocabulary_arrays,
)
from emprot_core.data.store_index import check_index, check_shards
from emprot_core.data.store_writer import StoreWriter
from emprot_core.data.structures import read_structure
from emprot_core.files import UNREADABLE

__all__ = [
    "CLASS_IDS",
    "INDEX_FIELDS",
    "SAMPLE_PREFIX",
    "SAMPLE_ROOT",
    "StoreError",
    "StoreWriter",
    "TrajectoryStore",
    "find_store",
    "split_array",
]

MAPPED_BYTES = 1 << 30
"""Windows of a larger store are read from its files, because a memory map of it would slowly fill the memory."""
_OPEN_FILES, _OPEN_VIEWS = 256, 4096  # a view of the map costs as much as reading a window, so keep this many
_CHANGED = "was changed since it was written: its SHA-256 is not {}; copy or prepare the store again"


class TrajectoryStore:
    """A store opened for reading. Its arrays are memory-mapped and read-only, so none is held in memory.

    Opening reads store.json and the index, and checks the size of every file and every row of the index. It does
    not read the IDs: `check_ids` does this for one trajectory, and `verify` for all.
    """

    def __init__(self, store: str | Path, verify: bool = False):
        """
        Args:
            store: a directory, an address such as s3://bucket/store, or `sample:<vocabulary>` for the embedded sample.
            verify: also check the SHA-256 of every file and every ID.

        Raises:
            StoreError: the store is missing or damaged; the message names the file.
        """
        is_there = not is_remote(str(store))
        self.directory = find_store(store).absolute() if is_there else fetch_store(str(store))
        text = (self.directory / "store.json").read_bytes()
        meta = read_meta(text, self.directory / "store.json")
        self.digest = hashlib.sha256(text).hexdigest()
        self.vocabulary = meta["vocabulary"]
        self.sources: list[dict[str, Any]] = meta["sources"]
        self.prepared: dict[str, Any] = meta["prepared"]
        self.vocabulary_arrays = vocabulary_arrays(meta["files"])
        self._files: Mapping[str, tuple[int, str]] = meta["files"]
        self._check_files(meta["files"], verify)
        self._shards: dict[int, np.ndarray] = {}
        self._reader = lru_cache(_OPEN_FILES)(self._new_reader)
        self._view = lru_cache(_OPEN_VIEWS)(self.ids)
        self._is_mapped = sum(size for size, _ in meta["files"].values()) <= MAPPED_BYTES
        self.index = self._open("index.npy")
        check_index(self.directory, self.index)
        self._shard_of, self._offset = self.index["shard"], self.index["offset"]
        self._num_frames, self._num_residues = self.index["num_frames"], self.index["num_residues"]
        check_shards(self.directory, self.index, self._shard)
        for trajectory in range(len(self) if verify else 0):
            self.check_ids(trajectory)

    def __len__(self) -> int:
        """The number of trajectories."""
        return len(self.index)

    def __getstate__(self) -> dict[str, Any]:
        return {"directory": self.directory}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__(state["directory"])  # type: ignore[misc]

    def ids(self, trajectory: int) -> np.ndarray:
        """(frames, residues) cluster IDs of one trajectory, a read-only view of the memory map."""
        frames, residues = int(self._num_frames[trajectory]), int(self._num_residues[trajectory])
        start = int(self._offset[trajectory])
        return self._shard(int(self._shard_of[trajectory]))[start : start + frames * residues].reshape(frames, residues)

    def frames(self, trajectory: int, start: int, stop: int) -> np.ndarray:
        """(frames, residues) cluster IDs of the frames [start, stop) that the trajectory has, read-only."""
        if self._is_mapped:
            return self._view(trajectory)[start:stop]
        residues = int(self._num_residues[trajectory])
        count = max(0, min(stop, int(self._num_frames[trajectory])) - start)
        reader = self._reader(int(self._shard_of[trajectory]))
        return reader.read(int(self._offset[trajectory]) + start * residues, count * residues).reshape(count, residues)

    def original_ids(self, ids: np.ndarray) -> np.ndarray:
        """IDs of any shape as the tokenizer or the user numbered them, before the store was compacted, if it was.

        -1 stays -1.
        """
        if not (self.directory / f"{CLASS_IDS}.npy").is_file():
            return ids
        return np.where(ids < 0, ids, self.array(CLASS_IDS)[ids])

    def check_ids(self, trajectory: int) -> None:
        """Raise StoreError if an ID of the trajectory lies outside [-1, num_clusters)."""
        file = self.directory / shard_name(int(self._shard_of[trajectory]))
        check_ids(
            self.ids(trajectory),
            self.vocabulary.num_clusters,
            where=f"{file}: trajectory {self.index['name'][trajectory]!s}",
            remedy="write the store again with the vocabulary's num_clusters",
        )

    def structure(self, trajectory: int) -> tuple[np.ndarray, np.ndarray] | None:
        """The residues (N,) of contracts.RESIDUE_DTYPE and one backbone (N, 4, 3), Angstrom; None where unknown."""
        return read_structure(self.directory, self._open, trajectory, int(self._num_residues[trajectory]))

    def array(self, name: str) -> np.ndarray:
        """An array kept with the vocabulary (`centroids` of k-means), read-only; StoreError if there is none."""
        if not (self.directory / f"{name}.npy").is_file():
            raise StoreError(
                f"{self.directory} keeps no array {name!r}: its vocabulary is {self.vocabulary.name!r}; "
                "give a store whose tokenizer has one"
            )
        return self._open(f"{name}.npy")

    @property
    def vocabulary_digest(self) -> str:
        """A hash of what the IDs mean: equal in stores of the same classes."""
        vocabulary = self.vocabulary
        meaning = [vocabulary.name, vocabulary.num_clusters, vocabulary.tokenizer, self.vocabulary_arrays]
        return hashlib.sha256(json.dumps(meaning, sort_keys=True).encode()).hexdigest()

    @property
    def keeps_split(self) -> bool:
        """Whether a split was kept when the store was prepared."""
        return (self.directory / f"{split_array('train')}.npy").is_file()

    def split_spans(self, split: Split) -> np.ndarray:
        """The spans of a split that was kept when the store was prepared (data.windows.SPAN_DTYPE), read-only."""
        return self.array(split_array(split))

    def check_hashes(self) -> None:
        """Check the SHA-256 of every file, unless it was checked before and is the same file still.

        Raises:
            StoreError: a file was changed since it was written.
        """
        for name, (_, digest) in self._files.items():
            if not holds(self.directory / name, digest):
                raise StoreError(f"{self.directory / name} {_CHANGED.format(digest)}")

    def _open(self, name: str) -> np.ndarray:
        path = self.directory / name
        try:
            return np.load(path, mmap_mode="r", allow_pickle=False).view(np.ndarray)
        except UNREADABLE as error:
            raise StoreError(f"{path} cannot be read ({error}); copy or prepare the store again") from error

    def _shard(self, shard: int) -> np.ndarray:
        if shard not in self._shards:
            self._shards[shard] = self._open(shard_name(shard))
        return self._shards[shard]

    def _new_reader(self, shard: int) -> FrameReader:
        return FrameReader(self.directory / shard_name(shard), self._shard(shard))

    def _check_files(self, files: Mapping[str, tuple[int, str]], verify: bool) -> None:
        for name, (size, digest) in files.items():
            path = self.directory / name
            held = path.stat().st_size if path.is_file() else None
            if held != size:
                got = "is missing" if held is None else f"has {held} bytes"
                raise StoreError(f"{path} {got}, expected {size} bytes; copy or prepare the store again")
            if verify and sha256(path) != digest:
                raise StoreError(f"{path} {_CHANGED.format(digest)}")

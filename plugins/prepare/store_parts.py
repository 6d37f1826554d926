"""Writes stores from parts, if requested with renumbered classes and with a split that every run shares."""

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np

from emprot_core.batch import MISSING_ID
from emprot_core.contracts import Split, Tokenizer, Vocabulary
from emprot_core.data.store import CLASS_IDS, StoreError, StoreWriter, TrajectoryStore, split_array

from .parts import Part, part_ids, part_structure

_BLOCK_TOKENS = 1 << 22


def write_stores(
    output: Path,
    tokenizers: Sequence[Tokenizer],
    parts: Sequence[Part],
    folder: Path,
    groups: Mapping[str, str],
    spans: Mapping[Split, np.ndarray] | None = None,
    compact: bool = False,
    earlier: Mapping[str, TrajectoryStore] | None = None,
    prepared: Mapping[str, Any] | None = None,
) -> None:
    """Write <output>/<name> for each tokenizer from the parts in a folder; stores appear once all are complete.

    Args:
        groups: the group of each trajectory, by its name.
        spans: the spans of a split, kept in the stores for splits.Stored.
        compact: renumber the classes that occur as 0, 1, ..., in the order of their IDs, which the store keeps.
        earlier: stores by name, whose trajectories come first.
        prepared: how the frames were chosen, which the stores keep.

    Raises:
        StoreError: a directory exists, or an earlier store has another vocabulary or a trajectory of the same name.
    """
    with ExitStack() as stack:
        for tokenizer in tokenizers:
            class_ids = _used_classes(tokenizer, parts, folder) if compact else None
            writer = stack.enter_context(StoreWriter(output / tokenizer.name, _vocabulary(tokenizer, class_ids)))
            writer.prepared = dict(prepared or {})
            before = (earlier or {}).get(tokenizer.name)
            if before is not None:
                _copy(before, writer)
            _fill(writer, tokenizer, parts, folder, groups, class_ids)
            for split, rows in ({} if spans is None else spans).items():
                writer.add_array(split_array(split), rows)
    for name, before in (earlier or {}).items():
        _check_same_vocabulary(before, TrajectoryStore(output / name))


def _copy(store: TrajectoryStore, writer: StoreWriter) -> None:
    for row, record in enumerate(store.index):
        structure = store.structure(row) or (None, None)
        ids, step = store.ids(row), float(record["time_step_ns"])
        writer.add(str(record["name"]), str(record["group"]), ids, step, *structure)
    for source in store.sources:
        writer.add_source(source)


def _check_same_vocabulary(old: TrajectoryStore, new: TrajectoryStore) -> None:
    if old.vocabulary_digest != new.vocabulary_digest:
        raise StoreError(
            f"{old.directory} has another vocabulary than these tokenizers give; bind the tokenizer with which it was "
            "made (kmeans_environment.centroids names a store whose classes are used)"
        )


def _fill(
    writer: StoreWriter,
    tokenizer: Tokenizer,
    parts: Sequence[Part],
    folder: Path,
    groups: Mapping[str, str],
    class_ids: np.ndarray | None,
) -> None:
    for name, array in tokenizer.arrays().items():
        writer.add_array(name, array)
    if class_ids is not None:
        writer.add_array(CLASS_IDS, class_ids)
    for part in parts:
        ids = part_ids(folder, part, tokenizer)
        renumbered = ids if class_ids is None else _renumber(ids, class_ids, tokenizer.num_clusters)
        residues, backbone = part_structure(folder, part)
        writer.add(part.name, groups[part.name], renumbered, part.time_step_ns, residues, backbone)
        if part.source:
            writer.add_source(part.source)


def _vocabulary(tokenizer: Tokenizer, class_ids: np.ndarray | None) -> Vocabulary:
    if class_ids is None:
        return Vocabulary(tokenizer.name, tokenizer.num_clusters, tokenizer.description())
    described = {**tokenizer.description(), "compacted_from": tokenizer.num_clusters}
    return Vocabulary(tokenizer.name, len(class_ids), described)


def _used_classes(tokenizer: Tokenizer, parts: Sequence[Part], folder: Path) -> np.ndarray:
    """The IDs (C',) int32 that occur, in rising order."""
    # MISSING_ID (-1) falls into an extra last slot, which is cut off below.
    used = np.zeros(tokenizer.num_clusters + 1, dtype=bool)
    for part in parts:
        ids = part_ids(folder, part, tokenizer)
        rows = max(1, _BLOCK_TOKENS // ids.shape[1])
        for start in range(0, len(ids), rows):
            used[ids[start : start + rows]] = True
    return np.flatnonzero(used[:-1]).astype(np.int32)


def _renumber(ids: np.ndarray, class_ids: np.ndarray, num_clusters: int) -> np.ndarray:
    places = np.full(num_clusters + 1, MISSING_ID, dtype=np.int32)
    places[class_ids] = np.arange(len(class_ids))
    return places[ids]  # MISSING_ID (-1) reads the last place, which holds MISSING_ID

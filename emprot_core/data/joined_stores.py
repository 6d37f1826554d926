"""Several stores of one vocabulary, read as one."""

import bisect
import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from emprot_core.contracts import Split
from emprot_core.data.store import TrajectoryStore
from emprot_core.data.store_format import INDEX_FIELDS, StoreError


class JoinedStores:
    """Several stores read like one TrajectoryStore: the trajectories of the first, then of the second, ...

    A trajectory is called <store>/<its name>. <store> is the end of the path of the store's directory, as long as is
    needed to tell the stores apart. What all paths end in is cut off first: a/protein_blocks and b/protein_blocks
    become a and b. Groups keep their names, so a protein that is in two stores is one group.
    """

    def __init__(self, stores: Sequence[TrajectoryStore]):
        """
        Raises:
            StoreError: there is no store, one is given twice, or their vocabularies differ.
        """
        paths = [store.directory for store in stores]
        if not stores:
            raise StoreError("got an empty list of stores, expected the path of one or more")
        if twice := [path for path in paths if paths.count(path) > 1]:
            raise StoreError(f"the store {twice[0]} is given twice; give each store once")
        for store in stores[1:]:
            _check_same_vocabulary(stores[0], store)
        self.stores, self.labels = tuple(stores), _labels(paths)
        self.directory = ", ".join(map(str, paths))
        self.vocabulary, self.vocabulary_arrays = stores[0].vocabulary, stores[0].vocabulary_arrays
        self.digest = hashlib.sha256(" ".join(store.digest for store in stores).encode()).hexdigest()
        self._first_rows = [0, *np.cumsum([len(store) for store in stores[:-1]]).tolist()]
        self.index = _join_indices(stores, self.labels)

    def __len__(self) -> int:
        """The number of trajectories."""
        return len(self.index)

    def __reduce__(self) -> tuple[type, tuple[Sequence[TrajectoryStore]]]:
        return type(self), (self.stores,)

    def ids(self, trajectory: int) -> np.ndarray:
        """As TrajectoryStore.ids."""
        store, row = self._place(trajectory)
        return store.ids(row)

    def frames(self, trajectory: int, start: int, stop: int) -> np.ndarray:
        """As TrajectoryStore.frames."""
        store, row = self._place(trajectory)
        return store.frames(row, start, stop)

    def original_ids(self, ids: np.ndarray) -> np.ndarray:
        """As TrajectoryStore.original_ids. The stores share one vocabulary, so the first store answers for all."""
        return self.stores[0].original_ids(ids)

    def structure(self, trajectory: int) -> tuple[np.ndarray, np.ndarray] | None:
        """As TrajectoryStore.structure."""
        store, row = self._place(trajectory)
        return store.structure(row)

    def array(self, name: str) -> np.ndarray:
        """As TrajectoryStore.array."""
        return self.stores[0].array(name)

    def check_ids(self, trajectory: int) -> None:
        """As TrajectoryStore.check_ids."""
        store, row = self._place(trajectory)
        store.check_ids(row)

    def split_spans(self, split: Split) -> np.ndarray:
        """As TrajectoryStore.split_spans, for all stores. Each store must keep a split."""
        spans = [np.array(store.split_spans(split)) for store in self.stores]
        for some, first_row in zip(spans, self._first_rows, strict=True):
            some["trajectory"] += first_row
        return np.concatenate(spans)

    def _place(self, trajectory: int) -> tuple[TrajectoryStore, int]:
        number = bisect.bisect_right(self._first_rows, trajectory) - 1
        return self.stores[number], trajectory - self._first_rows[number]


def open_stores(stores: str | Path | Sequence[str | Path], verify: bool = False) -> TrajectoryStore | JoinedStores:
    """Open one store (a path, or a list of one) as a TrajectoryStore, and several as JoinedStores.

    Raises:
        StoreError: a store is missing or damaged, or they do not fit together.
    """
    opened = [TrajectoryStore(s, verify) for s in ([stores] if isinstance(stores, str | Path) else stores)]
    for store in opened:
        store.check_hashes()
    return opened[0] if len(opened) == 1 else JoinedStores(opened)


def _check_same_vocabulary(first: TrajectoryStore, other: TrajectoryStore) -> None:
    ours, theirs = first.vocabulary, other.vocabulary
    pairs = {
        "name": (ours.name, theirs.name),
        "num_clusters": (ours.num_clusters, theirs.num_clusters),
        **_differences(dict(ours.tokenizer), dict(theirs.tokenizer), "the tokenizer's "),
        **_differences(first.vocabulary_arrays, other.vocabulary_arrays, "SHA-256 of "),
    }
    for what, (got, expected) in pairs.items():
        if got != expected:
            raise StoreError(
                f"{first.directory} and {other.directory} have different vocabularies: {what} is {got!r} and "
                f"{expected!r}, expected the same classes; prepare both with one tokenizer (what was fitted or "
                "compacted for one store has classes of its own), or train on one of them"
            )


def _differences(
    ours: Mapping[str, object], theirs: Mapping[str, object], what: str
) -> dict[str, tuple[object, object]]:
    return {f"{what}{name}": (ours.get(name), theirs.get(name)) for name in sorted({*ours, *theirs})}


def _labels(paths: Sequence[Path]) -> list[str]:
    parts = [list(path.parts) for path in paths]
    while len(parts) > 1 and all(len(p) > 1 for p in parts) and len({p[-1] for p in parts}) == 1:
        parts = [p[:-1] for p in parts]
    for depth in range(1, max(map(len, parts)) + 1):
        labels = ["/".join(p[-depth:]) for p in parts]
        if len(set(labels)) == len(labels):
            break
    return labels


def _join_indices(stores: Sequence[TrajectoryStore], labels: Sequence[str]) -> np.ndarray:
    widths = [
        max(len(label) + 1 + _width(store, "name") for store, label in zip(stores, labels, strict=True)),
        max(_width(store, "group") for store in stores),
    ]
    fields = stores[0].index.dtype
    types = {field: fields[field] for field in INDEX_FIELDS} | {"name": f"U{widths[0]}", "group": f"U{widths[1]}"}
    index = np.empty(sum(map(len, stores)), dtype=list(types.items()))
    start = 0
    for store, label in zip(stores, labels, strict=True):
        rows = index[start : start + len(store)]
        rows[:] = store.index
        rows["name"] = np.char.add(f"{label}/", store.index["name"])
        start += len(store)
    return index


def _width(store: TrajectoryStore, field: str) -> int:
    return store.index.dtype[field].itemsize // np.dtype("U1").itemsize

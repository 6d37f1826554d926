"""Sparse counts for large vocabularies: what was never seen takes no memory."""

from typing import NamedTuple

import numpy as np

from emprot_core.errors import EmprotError

_PENDING_KEYS = 1 << 22


class Counts(NamedTuple):
    """How often each of E different keys occurred."""

    keys: np.ndarray  # (E,) int64, 0 or more, ascending
    counts: np.ndarray  # (E,) int64


class Tally:
    """Counts int64 keys (0 or more) as they come; memory grows with the number of different keys only."""

    def __init__(self) -> None:
        self._counted = Counts(np.zeros(0, np.int64), np.zeros(0, np.int64))
        self._pending: list[np.ndarray] = []
        self._num_pending = 0

    def add(self, keys: np.ndarray) -> None:
        """Count the keys (any number of them, repeated or not)."""
        self._pending.append(keys)
        self._num_pending += len(keys)
        if self._num_pending > _PENDING_KEYS:
            self._merge()

    def result(self) -> Counts:
        """The different keys and how often each occurred."""
        self._merge()
        return self._counted

    def _merge(self) -> None:
        known = self._counted
        keys = np.concatenate([known.keys, *self._pending])
        counts = np.concatenate([known.counts, np.ones(len(keys) - len(known.keys), np.int64)])
        self._pending, self._num_pending = [], 0
        self._counted = sum_by_key(keys, counts)


class Entries(NamedTuple):
    """E counts of several requested rows (queries)."""

    query: np.ndarray  # (E,) which of the requested rows the entry belongs to
    ids: np.ndarray  # (E,) cluster ID
    counts: np.ndarray  # (E,) 1 or more


class CountTable:
    """A sparse table of counts: row labels (any int64) x C clusters. A row with a negative label is empty."""

    def __init__(self, rows: np.ndarray, ids: np.ndarray, counts: np.ndarray, num_clusters: int):
        """rows, ids, counts: (E,) entries in any order; counts of the same place are added up. ids lie in [0, C).

        Raises:
            EmprotError: a row label is so large that the number of its last cluster leaves int64.
        """
        if len(rows) and int(rows.max()) >= np.iinfo(np.int64).max // num_clusters:
            raise EmprotError(
                f"row {rows.max()} of {num_clusters} clusters does not fit an int64 key; "
                "fit this baseline on fewer proteins or on a smaller vocabulary"
            )
        self.num_clusters = num_clusters
        kept = rows >= 0
        # A zero at (0, 0) changes no count, and look-ups need not handle an empty table.
        keys = np.append(rows[kept] * num_clusters + ids[kept], 0)
        self._keys, self._counts = sum_by_key(keys, np.append(counts[kept], 0))
        entry_rows, self._ids = np.divmod(self._keys, num_clusters)
        self._rows, starts, row_index = np.unique(entry_rows, return_index=True, return_inverse=True)
        self._bounds = np.append(starts, len(self._keys))
        self._totals = np.bincount(row_index, self._counts)

    def count(self, rows: np.ndarray, ids: np.ndarray) -> np.ndarray:
        """The count at each (row, ID), float64; 0 if it was never seen."""
        at, found = find(self._keys, np.where(rows >= 0, rows * self.num_clusters + ids, -1))
        return np.where(found, self._counts[at], 0.0)

    def total(self, rows: np.ndarray) -> np.ndarray:
        """The sum of each row, float64; 0 if it was never seen."""
        at, found = find(self._rows, rows)
        return np.where(found, self._totals[at], 0.0)

    def entries(self, rows: np.ndarray) -> Entries:
        """The counts of each of the rows (Q,)."""
        at, found = find(self._rows, rows)
        sizes = np.where(found, self._bounds[at + 1] - self._bounds[at], 0)
        query = np.repeat(np.arange(len(rows)), sizes)
        within = np.arange(len(query)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
        place = self._bounds[at[query]] + within
        return Entries(query, self._ids[place], self._counts[place])


def find(keys: np.ndarray, wanted: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The index of each wanted key in the ascending keys (any valid one if it is absent), and whether it is there.

    Without a key there is nothing to look for: `wanted` has to be empty too.
    """
    at = np.minimum(np.searchsorted(keys, wanted), len(keys) - 1)
    return at, keys[at] == wanted


def sum_by_key(keys: np.ndarray, counts: np.ndarray) -> Counts:
    """The different keys and the sum of the counts of each."""
    order = np.argsort(keys, kind="stable")
    keys, counts = keys[order], counts[order]
    starts = np.flatnonzero(np.diff(keys, prepend=-1))
    return Counts(keys[starts], np.add.reduceat(counts, starts) if len(keys) else counts)

"""Sparse counts for large vocabularies: what was never seen takes no memory."""

from typing import NamedTuple

import numpy as np

from emprot_core.errors import EmprotError

_PENDING_KEYS = 1 << 22


class Tally:
    """Counts int64 keys (0 or more) as they come; memory grows with the number of different keys only."""

    def __init__(self) -> None:
        self._keys, self._counts = np.zeros(0, np.int64), np.zeros(0, np.int64)
        self._pending: list[np.ndarray] = []
        self._num_pending = 0

    def add(self, keys: np.ndarray) -> None:
        """Count the keys (any number of them, repeated or not)."""
        self._pending.append(keys)
        self._num_pending += len(keys)
        if self._num_pending > _PENDING_KEYS:
            self._merge()

    def result(self) -> tuple[np.ndarray, np.ndarray]:
        """The different keys, ascending, and how often each occurred (int64)."""
        self._merge()
        return self._keys, self._counts

    def _merge(self) -> None:
        keys = np.concatenate([self._keys, *self._pending])
        counts = np.concatenate([self._counts, np.ones(len(keys) - len(self._keys), np.int64)])
        self._pending, self._num_pending = [], 0
        self._keys, self._counts = _sum_by_key(keys, counts)


class Entries(NamedTuple):
    """E entries of several requested rows (queries)."""

    query: np.ndarray  # (E,) which of the requested rows the entry belongs to
    ids: np.ndarray  # (E,) cluster ID

    def joined(self, other: "Entries") -> "Entries":
        """The entries of both, for the same queries."""
        return Entries(np.concatenate([self.query, other.query]), np.concatenate([self.ids, other.ids]))

    def with_id(self, cluster_id: int, num_queries: int) -> "Entries":
        """These entries, and one more with the given ID for each query."""
        return self.joined(Entries(np.arange(num_queries), np.full(num_queries, cluster_id)))


class CountTable:
    """A sparse table of counts: row labels (any int64, 0 or more) x C clusters."""

    def __init__(self, rows: np.ndarray, ids: np.ndarray, counts: np.ndarray, num_clusters: int):
        """rows, ids, counts: (E,) entries in any order; counts of the same place are added up. ids lie in [0, C)."""
        if len(rows) and int(rows.max()) >= np.iinfo(np.int64).max // num_clusters:
            raise EmprotError(
                f"row {rows.max()} of {num_clusters} clusters does not fit an int64 key; "
                "fit this baseline on fewer proteins or on a smaller vocabulary"
            )
        self.num_clusters = num_clusters
        # A zero at (0, 0) changes no count, and look-ups need not handle an empty table.
        keys, self.counts = _sum_by_key(np.append(rows * num_clusters + ids, 0), np.append(counts, 0))
        self._keys = keys
        self._entry_rows, self.ids = np.divmod(keys, num_clusters)
        self._rows, starts, self._row_index = np.unique(self._entry_rows, return_index=True, return_inverse=True)
        self._bounds = np.append(starts, len(keys))
        self._totals = np.bincount(self._row_index, self.counts)

    def count(self, rows: np.ndarray, ids: np.ndarray) -> np.ndarray:
        """The count at each (row, ID), float64; 0 if it was never seen or the row is negative."""
        at, found = _find(self._keys, np.where(rows >= 0, rows * self.num_clusters + ids, -1))
        return np.where(found, self.counts[at], 0.0)

    def total(self, rows: np.ndarray) -> np.ndarray:
        """The sum of each row, float64; 0 if it was never seen."""
        at, found = _find(self._rows, rows)
        return np.where(found, self._totals[at], 0.0)

    def entries(self, rows: np.ndarray) -> Entries:
        """The entries of each of the rows (Q,)."""
        at, found = _find(self._rows, rows)
        sizes = np.where(found, self._bounds[at + 1] - self._bounds[at], 0)
        query = np.repeat(np.arange(len(rows)), sizes)
        within = np.arange(len(query)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
        return Entries(query, self.ids[self._bounds[at[query]] + within])

    def frontier(self, preference: np.ndarray) -> "CountTable":
        """The entries that can win a row: no other entry of the row has a greater count and a greater preference.

        For any a, b >= 0, one of the entries kept has the greatest a * count + b * preference of its row.

        Args:
            preference: (C,) float, one value per cluster.
        """
        rank = np.unique(preference, return_inverse=True)[1]
        order = np.lexsort((-rank[self.ids], -self.counts, self._row_index))
        # With each row sorted by falling count, an entry stays if its preference exceeds all before it. This is a
        # running maximum of the ranks, with an offset per row so that one pass serves all rows.
        height = self._row_index[order] * len(rank) + rank[self.ids[order]]
        before = np.concatenate([[-1], np.maximum.accumulate(height)[:-1]])
        kept = order[height > before]
        return CountTable(self._entry_rows[kept], self.ids[kept], self.counts[kept], self.num_clusters)


def best_entry(entries: Entries, values: np.ndarray, num_queries: int) -> np.ndarray:
    """The ID (num_queries,) of the entry with the greatest value for each query; on ties, the last one.

    Every query must have an entry.
    """
    order = np.lexsort((values, entries.query))
    ends = np.searchsorted(entries.query[order], np.arange(num_queries), side="right") - 1
    return entries.ids[order[ends]]


def _sum_by_key(keys: np.ndarray, counts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The different keys, ascending, and the sum of the counts of each."""
    order = np.argsort(keys, kind="stable")
    keys, counts = keys[order], counts[order]
    starts = np.flatnonzero(np.diff(keys, prepend=-1))
    return keys[starts], np.add.reduceat(counts, starts) if len(keys) else counts


def _find(keys: np.ndarray, wanted: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The index of each wanted key in the ascending keys (any valid one if it is absent), and whether it is there."""
    at = np.minimum(np.searchsorted(keys, wanted), len(keys) - 1)
    return at, keys[at] == wanted

"""What a residue's own past says of its next ID: decayed caches, its occupancy and its own transitions."""

from typing import NamedTuple

import numpy as np

from emprot_core.batch import MISSING_ID

RATES = (0.5, 0.75, 0.88, 0.95, 0.985, 1.0)
"""How fast a cache forgets, per frame. The last one never does."""


class Pasts(NamedTuple):
    """The past of P residues, one row each."""

    history: np.ndarray  # (P, T) IDs, the last frame last, MISSING_ID where unknown

    @property
    def last(self) -> np.ndarray:
        """(P,) the ID in the last frame, MISSING_ID where unknown."""
        return self.history[:, -1]

    def before(self, frames: int) -> np.ndarray:
        """(P,) the ID so many frames before the last, MISSING_ID where unknown."""
        num_frames = self.history.shape[1]
        return (
            self.history[:, num_frames - 1 - frames] if frames < num_frames else np.full(len(self.history), MISSING_ID)
        )

    def caches(self, ids: np.ndarray, unigram: np.ndarray) -> np.ndarray:
        """(6, P) the probability of each ID (P,) under each cache; the unigram where no frame is known.

        c(y) = sum_s r^(t-s) [x_s = y] / sum_s r^(t-s), over the frames s up to the last one t that are known.
        """
        weights = (np.array(RATES) ** self._ages()[:, None]).astype(np.float32)  # (T, 6)
        total = ((self.history != MISSING_ID).astype(np.float32) @ weights).T
        seen = ((self.history == ids[:, None]).astype(np.float32) @ weights).T
        return np.where(total > 0, seen / np.where(total > 0, total, 1.0), unigram[ids])

    def cache_mixture(self, shares: np.ndarray, unigram: np.ndarray) -> np.ndarray:
        """(P, C): sum_i shares_i c_i(y) of every class, for shares (6,)."""
        known = self.history != MISSING_ID
        by_age = np.array(RATES)[:, None] ** self._ages()  # (6, T)
        total = known @ by_age.T  # (P, 6)
        of_frame = (shares / np.where(total > 0, total, 1.0)) @ by_age  # (P, T): what each frame adds to its class
        row, frame = np.nonzero(known)
        mixture = self._table(row, self.history[row, frame], of_frame[row, frame], len(unigram))
        mixture[total[:, -1] == 0] = shares.sum() * unigram
        return mixture

    def occupancy(self, unigram: np.ndarray, prior: float, ids: np.ndarray | None = None) -> np.ndarray:
        """(count + prior U) / (n + prior) over the residue's own frames: of IDs (P,), or of every class (P, C)."""
        known = self.history != MISSING_ID
        if ids is not None:
            seen = (self.history == ids[:, None]).sum(axis=1)
            return (seen + prior * unigram[ids]) / (known.sum(axis=1) + prior)
        row, frame = np.nonzero(known)
        seen = self._table(row, self.history[row, frame], np.ones(len(row)), len(unigram))
        return (seen + prior * unigram) / (known.sum(axis=1, keepdims=True) + prior)

    def own_row(self, lag: int, occupancy: np.ndarray, prior: float, ids: np.ndarray | None = None) -> np.ndarray:
        """(count + prior occupancy) / (n + prior) over the frames that follow the last ID after `lag` frames."""
        start, after = self.history[:, :-lag], self.history[:, lag:]
        from_last = (start == self.last[:, None]) & (start != MISSING_ID) & (after != MISSING_ID)
        total = from_last.sum(axis=1)
        if ids is not None:
            return ((from_last & (after == ids[:, None])).sum(axis=1) + prior * occupancy) / (total + prior)
        row, frame = np.nonzero(from_last)
        seen = self._table(row, after[row, frame], np.ones(len(row)), occupancy.shape[1])
        return (seen + prior * occupancy) / (total + prior)[:, None]

    def _ages(self) -> np.ndarray:
        return np.arange(self.history.shape[1], dtype=float)[::-1]

    def _table(self, row: np.ndarray, ids: np.ndarray, weights: np.ndarray, num_clusters: int) -> np.ndarray:
        size = len(self.history) * num_clusters
        return np.bincount(row * num_clusters + ids, weights, size).reshape(-1, num_clusters)

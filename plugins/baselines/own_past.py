"""Parts of mixtures that a residue's own past gives, without training: they exist on proteins never seen."""

from collections.abc import Sequence

import numpy as np

from emprot_core.batch import MISSING_ID

from .parts import ClassTable, Unigram
from .positions import Positions

_LEAST_DECAY = 1e-37  # float32 would make less than this 0, and a residue known only so long ago count as unknown
_OCCUPANCY_PRIOR, _OWN_ROW_PRIOR = 5.0, 2.0


class Stays:
    """[y = x_t]: the residue keeps its last ID; the unigram where that is missing."""

    num = 1

    def __init__(self, unigram: Unigram):
        self._unigram = unigram

    def of(self, at: Positions, ids: np.ndarray, left_out: int = 0) -> np.ndarray:
        return np.where(at.last >= 0, at.last == ids, self._unigram.of(at, ids))

    def add_to(self, table: ClassTable, at: Positions, weights: np.ndarray) -> None:
        table.add(np.arange(len(at.last)), at.last, weights[0])
        table.unigram += np.where(at.last >= 0, 0.0, weights[0])


class Caches:
    """c_i(y) = sum_s r_i^(t-s) [x_s = y] / sum_s r_i^(t-s), over the frames s up to the last one t that are known.

    A rate of 1 gives the plain frequencies. Where no frame is known, each is the unigram.
    """

    def __init__(self, rates: Sequence[float], unigram: Unigram, dtype: type = np.float64):
        """
        Args:
            rates: r_i, per frame.
            dtype: of the sums over the past. float32 halves their time where the past is long.
        """
        self.num = len(rates)
        self._rates, self._unigram, self._dtype = np.array(rates), unigram, dtype

    def of(self, at: Positions, ids: np.ndarray, left_out: int = 0) -> np.ndarray:
        decay = self._decay(at)
        total = ((at.history != MISSING_ID).astype(self._dtype) @ decay).T
        seen = ((at.history == ids[:, None]).astype(self._dtype) @ decay).T
        return np.where(total > 0, seen / np.where(total > 0, total, 1.0), self._unigram.of(at, ids))

    def add_to(self, table: ClassTable, at: Positions, weights: np.ndarray) -> None:
        decay = self._decay(at)
        total = ((at.history != MISSING_ID).astype(self._dtype) @ decay).T  # (M, P)
        of_frame = (weights / np.where(total > 0, total, 1.0)).T @ decay.T  # (P, T): what each frame adds to its class
        table.add(np.arange(len(at.history))[:, None], at.history, of_frame)
        table.unigram += np.where(total > 0, 0.0, weights).sum(axis=0)

    def _decay(self, at: Positions) -> np.ndarray:
        """(T, M)."""
        ages = np.arange(at.history.shape[1], dtype=float)[::-1]
        return np.maximum(self._rates ** ages[:, None], _LEAST_DECAY).astype(self._dtype)


class OwnHabits:
    """Two parts, counted over the frames of the batch up to the last one: the occupancy so far, and the own row.

    occ(y) = (count + 5 U(y)) / (n + 5), and (count of y a horizon after the last ID + 2 occ(y)) / (n + 2).
    """

    num = 2

    def __init__(self, unigram: Unigram):
        self._unigram = unigram

    def of(self, at: Positions, ids: np.ndarray, left_out: int = 0) -> np.ndarray:
        seen, num_known = (at.history == ids[:, None]).sum(axis=1), (at.history != MISSING_ID).sum(axis=1)
        occupancy = (seen + _OCCUPANCY_PRIOR * self._unigram.of(at, ids)[0]) / (num_known + _OCCUPANCY_PRIOR)
        followers = _followers(at)
        count, total = (followers == ids[:, None]).sum(axis=1), (followers != MISSING_ID).sum(axis=1)
        own_row = (count + _OWN_ROW_PRIOR * occupancy) / (total + _OWN_ROW_PRIOR)
        return np.stack([occupancy, own_row])

    def add_to(self, table: ClassTable, at: Positions, weights: np.ndarray) -> None:
        followers, position = _followers(at), np.arange(len(at.history))[:, None]
        of_follower = weights[1] / ((followers != MISSING_ID).sum(axis=1) + _OWN_ROW_PRIOR)
        num_known = (at.history != MISSING_ID).sum(axis=1)
        of_frame = (weights[0] + _OWN_ROW_PRIOR * of_follower) / (num_known + _OCCUPANCY_PRIOR)
        table.add(position, followers, of_follower[:, None])
        table.add(position, at.history, of_frame[:, None])
        table.unigram += _OCCUPANCY_PRIOR * of_frame


def _followers(at: Positions) -> np.ndarray:
    """(P, T - h) the IDs that came a horizon after a frame with the last ID, MISSING_ID after every other frame."""
    start, after = at.history[:, : -at.horizon], at.history[:, at.horizon :]
    return np.where((start == at.last[:, None]) & (start != MISSING_ID), after, MISSING_ID)

"""The bar: a mixture of a residue's own past and pooled tables, with 11, 13 or 15 weights a horizon."""

from collections.abc import Iterable
from functools import partial

import numpy as np

from emprot_core.batch import Batch
from emprot_core.registry import register

from .alike import Alike, pairs_of_classes
from .counted import Weighted
from .mixture import Mixture
from .own_past import Caches, OwnHabits, Stays
from .parts import Part, Unigram
from .positions import Positions
from .sites import Sites
from .tables import Smoothed
from .tally import Counts, CountTable

RATES = (0.5, 0.75, 0.88, 0.95, 0.985, 1.0)
"""How fast a cache forgets, per frame. The last one never does."""
_LAGS = 3  # P_h from the last frame, P_{h+1} from the one before it, P_{h+2} from the one before that
_TABLE_PRIOR = 1.0


@register("baseline", "history")
class History(Weighted):
    """p(y) = w0 [y = x_t] + sum_i w_i c_i(y) + v_0 P_h(y|x_t) + v_1 P_h+1(y|x_t-1) + v_2 P_h+2(y|x_t-2) + u U(y).

    The caches c_i are decayed frequencies of the residue's IDs over all frames of the batch (rates .5 to 1). The tables
    P_k(y|a) = (count + U(y)) / (n + 1) are pooled over residues and come from training, as does U = (count + .5),
    normalised. The weights of each horizon come from 80 steps of EM on the training windows, each with its own count
    left out of the tables. Where a part is undefined, U takes its place.
    """

    name = "history"
    em_steps = 80
    left_out = 1
    dtype = np.float32  # the eleven parts of every training position take half the memory

    def _key(self, at: Positions) -> np.ndarray:
        """Keys of (frames back, the ID there + 1, target); `_mixture` reads none above them."""
        rows = self._num_clusters + 1
        befores = [at.before(back) + 1 + back * rows for back in range(_LAGS)]
        return np.concatenate([before * self._num_clusters + at.target for before in befores])

    def _mixture(self, counted: Counts) -> Mixture:
        back_and_last, ids = np.divmod(counted.keys, self._num_clusters)
        back, from_last = np.divmod(back_and_last, self._num_clusters + 1)
        once = back == 0
        unigram = Unigram(ids[once], counted.counts[once], self._num_clusters)
        parts: list[Part] = [Stays(unigram), Caches(RATES, unigram, np.float32)]
        for lag in range(_LAGS):
            chosen = back == lag
            table = CountTable(from_last[chosen] - 1, ids[chosen], counted.counts[chosen], self._num_clusters)
            parts.append(Smoothed(table, partial(Positions.before, frames=lag), _TABLE_PRIOR, unigram))
        return Mixture([*parts, unigram, *self._own_parts(unigram, counted)], unigram)

    def _own_parts(self, unigram: Unigram, counted: Counts) -> list[Part]:
        """Further parts, after the common ones."""
        return []


@register("baseline", "history_site")
class HistorySite(History):
    """`history`, and two parts of the residue itself: its occupancy so far, and what followed its last ID so far.

    Both are counted over the frames of the batch up to the last one, so that they exist on proteins never seen:
    occ(y) = (count + 5 U(y)) / (n + 5), and (count of y a horizon after the last ID + 2 occ(y)) / (n + 2).
    """

    name = "history_site"

    def _own_parts(self, unigram: Unigram, counted: Counts) -> list[Part]:
        return [OwnHabits(unigram)]


@register("baseline", "history_alike")
class HistoryAlike(HistorySite):
    """`history_site`, and two parts that know which classes occur together at the residues of training, in any order.

    m(y) = mean over the past frames s of (M(x_s, y) + U(y)) / (n(x_s) + 1), and (count of y + 5 m(y)) / (n + 5).

    M(a, y) is the sum over the residues r of training of count_r(a) count_r(y) / n_r. It counts the targets of a
    horizon, of which n(a) are a. M knows classes and no residues, so both parts exist on proteins never seen. While the
    weights are fitted, M lacks what the residue itself has added to it. The counts of single residues are forgotten
    after that. Training has to give `group_ids`.
    """

    name = "history_alike"

    def fit(self, train: Iterable[Batch], validation: Iterable[Batch], num_clusters: int) -> None:
        super().fit(train, validation, num_clusters)
        self._counted, self._sites = [self._pooled(counted) for counted in self._counted], Sites()
        self.load_state_dict(self.state_dict())

    def _key(self, at: Positions) -> np.ndarray:
        """The keys of `history`, and above them (C + site, target); see _further."""
        row = self._num_clusters + self._sites.learn(at)
        return np.append(super()._key(at), self._first + row * self._num_clusters + at.target)

    def _own_parts(self, unigram: Unigram, counted: Counts) -> list[Part]:
        rows, ids, counts = self._further(self._pooled(counted))
        pairs = Counts(rows * self._num_clusters + ids, counts)
        rows, ids, counts = self._further(counted)
        own = CountTable(rows - self._num_clusters, ids, counts, self._num_clusters)
        return [*super()._own_parts(unigram, counted), Alike(pairs, own, self._sites, unigram)]

    def _pooled(self, counted: Counts) -> Counts:
        """The counts with M, whose rows are classes, in place of the counts of sites. M itself stays as it is."""
        rows, ids, counts = self._further(counted)
        if not (rows >= self._num_clusters).any():
            return counted
        pairs = pairs_of_classes(rows - self._num_clusters, ids, counts, self._num_clusters)
        common = counted.keys < self._first
        keys = np.append(counted.keys[common], self._first + pairs.keys)
        return Counts(keys, np.append(counted.counts[common], pairs.counts))

    def _further(self, counted: Counts) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """The row, ID and count of the keys above those of `history`: rows below C are classes, the others C + site."""
        above = counted.keys >= self._first
        rows, ids = np.divmod(counted.keys[above] - self._first, self._num_clusters)
        return rows, ids, counted.counts[above]

    @property
    def _first(self) -> int:
        """The first key above those of `history`."""
        return _LAGS * (self._num_clusters + 1) * self._num_clusters

"""The bar: a mixture of a residue's own past and pooled transition tables, with 11 or 13 weights a horizon."""

from functools import partial

import numpy as np

from emprot_core.registry import register

from .counted import Weighted
from .mixture import Mixture
from .own_past import Caches, OwnHabits, Stays
from .parts import Part, Unigram
from .positions import Positions
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
        """Keys of (frames back, the ID there + 1, target)."""
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
        return Mixture([*parts, unigram, *self._own_parts(unigram)], unigram)

    def _own_parts(self, unigram: Unigram) -> list[Part]:
        """Further parts, after the common ones."""
        return []


@register("baseline", "history_site")
class HistorySite(History):
    """`history`, and two parts of the residue itself: its occupancy so far, and what followed its last ID so far.

    Both are counted over the frames of the batch up to the last one, so that they exist on proteins never seen:
    occ(y) = (count + 5 U(y)) / (n + 5), and (count of y a horizon after the last ID + 2 occ(y)) / (n + 2).
    """

    name = "history_site"

    def _own_parts(self, unigram: Unigram) -> list[Part]:
        return [OwnHabits(unigram)]

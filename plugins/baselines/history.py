"""The bar: a mixture of a residue's own past and pooled transition tables, with 11 or 13 weights a horizon."""

from collections.abc import Iterable

import numpy as np

from emprot_core.batch import Batch
from emprot_core.contracts import Prediction
from emprot_core.registry import register

from .mixture import em_weights
from .positions import Positions, count_keys, positions, predict_positions
from .recency import RATES, Pasts
from .tally import CountTable

_EM_STEPS = 80
_LAGS = 3  # P_h from the last frame, P_{h+1} from the one before it, P_{h+2} from the one before that
_UNIGRAM_PRIOR = 0.5
_SITE_PRIOR, _OWN_ROW_PRIOR = 5.0, 2.0
_TABLE_VALUES = 1 << 24  # values of one block of class tables: 128 MB


@register("baseline", "history")
class History:
    """p(y) = w0 [y = x_t] + sum_i w_i c_i(y) + v_0 P_h(y|x_t) + v_1 P_h+1(y|x_t-1) + v_2 P_h+2(y|x_t-2) + u U(y).

    The caches c_i are decayed frequencies of the residue's IDs over all frames of the batch (rates .5 to 1). The tables
    P_k(y|a) = (count + U(y)) / (n + 1) are pooled over residues and come from training, as does U = (count + .5),
    normalised. The weights of each horizon come from 80 steps of EM on the training windows, each with its own count
    left out of the tables. Where a part is undefined, U takes its place.
    """

    name = "history"

    def fit(self, train: Iterable[Batch], validation: Iterable[Batch], num_clusters: int) -> None:
        self._num_clusters = num_clusters
        self._tables: list[list[CountTable]] = []  # by horizon and lag
        self._unigrams: list[np.ndarray] = []  # by horizon, (C,)
        for keys, counts in count_keys(train, self._transitions):
            last, target = np.divmod(keys, num_clusters)
            back, last = np.divmod(last, num_clusters + 1)
            seen = np.bincount(target[back == 0], counts[back == 0], minlength=num_clusters) + _UNIGRAM_PRIOR
            self._unigrams.append(seen / seen.sum())
            chosen = [(back == each) & (last > 0) for each in range(_LAGS)]
            self._tables.append([CountTable(last[c], target[c], counts[c], num_clusters) for c in chosen])
        observed: list[list[np.ndarray]] = [[] for _ in self._tables]
        for batch in train:
            for at in positions(batch):
                observed[at.horizon].append(self._parts(at, at.target, left_out=1).astype(np.float32))
        joined = [np.concatenate(batches, axis=1) for batches in observed]
        self._weights = [em_weights(parts, np.ones(parts.shape[1]), _EM_STEPS) for parts in joined]

    def predict(self, batch: Batch) -> Prediction:
        return predict_positions(batch, self._forecast)

    def _transitions(self, at: Positions) -> np.ndarray:
        """Keys of (frames back, the ID there + 1, target)."""
        rows = self._num_clusters + 1
        befores = [Pasts(at.history).before(back) + 1 + back * rows for back in range(_LAGS)]
        return np.concatenate([before * self._num_clusters + at.target for before in befores])

    def _forecast(self, at: Positions) -> tuple[np.ndarray, np.ndarray]:
        nll = -np.log(self._weights[at.horizon] @ self._parts(at, at.target))
        size = max(1, _TABLE_VALUES // self._num_clusters)
        rows = [slice(start, start + size) for start in range(0, len(at.target), size)]
        best = [self._tables_of_classes(at.rows(each)).argmax(axis=1) for each in rows]
        return np.concatenate(best) if best else np.zeros(0, np.int64), nll

    def _parts(self, at: Positions, ids: np.ndarray, left_out: int = 0) -> np.ndarray:
        """(M, P) the probability of each ID (P,) under each part; `left_out`: how often it is itself in the tables."""
        past, unigram = Pasts(at.history), self._unigrams[at.horizon]
        prior = unigram[ids]
        stays = np.where(past.last >= 0, past.last == ids, prior)
        pooled = []
        for back, table in enumerate(self._tables[at.horizon]):
            before = past.before(back)
            others = np.where(before >= 0, table.total(before + 1) - left_out, 0.0)
            known = (table.count(before + 1, ids) - left_out + prior) / (others + 1)
            pooled.append(np.where(before >= 0, known, prior))
        return np.stack([stays, *past.caches(ids, unigram), *pooled, prior, *self._own_parts(at, ids)])

    def _own_parts(self, at: Positions, ids: np.ndarray | None = None) -> list[np.ndarray]:
        """Further parts, of IDs (P,) or of every class (P, C)."""
        return []

    def _tables_of_classes(self, at: Positions) -> np.ndarray:
        """(P, C): the mixture's probability of every class."""
        past, weights, unigram = Pasts(at.history), self._weights[at.horizon], self._unigrams[at.horizon]
        mixture = past.cache_mixture(weights[1 : 1 + len(RATES)], unigram)
        mixture += weights[1 + len(RATES) + _LAGS] * unigram
        for back, table in enumerate(self._tables[at.horizon]):
            mixture += weights[1 + len(RATES) + back] * _dense_rows(table, past.before(back), unigram)
        for weight, part in zip(weights[2 + len(RATES) + _LAGS :], self._own_parts(at), strict=True):
            mixture += weight * part
        known = past.last >= 0
        mixture[np.flatnonzero(known), past.last[known]] += weights[0]
        mixture[~known] += weights[0] * unigram
        return mixture


@register("baseline", "history_site")
class HistorySite(History):
    """`history`, and two parts of the residue itself: its occupancy so far, and what followed its last ID so far.

    Both are counted over the frames of the batch up to the last one, so that they exist on proteins never seen:
    occ(y) = (count + 5 U(y)) / (n + 5), and (count of y a horizon after the last ID + 2 occ(y)) / (n + 2).
    """

    name = "history_site"

    def _own_parts(self, at: Positions, ids: np.ndarray | None = None) -> list[np.ndarray]:
        past, unigram = Pasts(at.history), self._unigrams[at.horizon]
        occupancy = past.occupancy(unigram, _SITE_PRIOR, ids)
        return [occupancy, past.own_row(at.horizon + 1, occupancy, _OWN_ROW_PRIOR, ids)]


def _dense_rows(table: CountTable, before: np.ndarray, unigram: np.ndarray) -> np.ndarray:
    """(P, C): P_k(y | before) of every class; the unigram where `before` is missing."""
    lasts, which = np.unique(before, return_inverse=True)
    dense = np.tile(unigram, (len(lasts), 1))
    entries = table.entries(lasts + 1)
    dense[entries.query, entries.ids] += table.count(lasts[entries.query] + 1, entries.ids)
    dense /= np.where(lasts >= 0, table.total(lasts + 1) + 1, 1.0)[:, None]
    return dense[which]

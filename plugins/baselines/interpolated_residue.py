"""The hardest baseline known: interpolated, plus tables of each residue. Only for proteins seen in training."""

from collections.abc import Iterable

import numpy as np

from emprot_core.batch import Batch
from emprot_core.contracts import Prediction
from emprot_core.registry import register

from .interpolated import parts
from .mixture import em_weights, mixture_forecast
from .positions import Positions, count_keys, positions, predict_positions
from .tables import Markov, Occupancy, SiteMarkov, Unigram
from .tally import Entries, best_entry


@register("baseline", "interpolated_residue")
class InterpolatedResidue:
    """interpolated + w5 occupancy of the residue + w6 Markov table of the residue, backed off to the pooled one.

    The tables are counted in training. The six weights of each horizon are fitted by EM on *validation*, because tables
    of single residues are too sharp on the windows they were counted on. Without validation windows the weights are
    equal.
    """

    name = "interpolated_residue"

    def __init__(self, window: int | None = None):
        """
        Args:
            window: how many of the last frames of a batch it reads; None reads all.
        """
        self.window = window

    def fit(self, train: Iterable[Batch], validation: Iterable[Batch], num_clusters: int) -> None:
        rows = num_clusters + 1
        self._markov, self._occupancy, self._site_markov = [], [], []
        for keys, counts in count_keys(train, lambda at: (at.site * rows + at.last + 1) * num_clusters + at.target):
            triples, target = np.divmod(keys, num_clusters)
            site, from_last = np.divmod(triples, rows)
            unigram = Unigram(np.bincount(target, counts, minlength=num_clusters))
            markov = Markov(from_last - 1, target, counts, unigram)
            self._markov.append(markov)
            self._occupancy.append(Occupancy(site, target, counts, unigram))
            self._site_markov.append(SiteMarkov(site, from_last - 1, target, counts, markov))
        self._weights = self._fit_weights(validation)

    def predict(self, batch: Batch) -> Prediction:
        return predict_positions(batch, self._forecast, self.window)

    def _fit_weights(self, validation: Iterable[Batch]) -> list[np.ndarray]:
        observed: list[list[np.ndarray]] = [[np.zeros((6, 0))] for _ in self._markov]
        for batch in validation:
            for at in positions(batch, self.window):
                observed[at.horizon].append(self._parts_at(at, at.target[:, None]).reshape(6, -1))
        joined = [np.concatenate(batches, axis=1) for batches in observed]
        return [em_weights(components, np.ones(components.shape[1])) for components in joined]

    def _parts_at(self, at: Positions, ids: np.ndarray) -> np.ndarray:
        """The probability (6, P, J) of IDs (P, J) under each of the six parts."""
        last, site, known = at.last[:, None], at.site[:, None], at.num_known[:, None]
        pooled = parts(self._markov[at.horizon], last, ids, ids == last, at.num_seen(ids), known)
        return np.concatenate([pooled, self._own_parts(at.horizon, site, last, ids)])

    def _own_parts(self, horizon: int, site: np.ndarray, last: np.ndarray, ids: np.ndarray) -> np.ndarray:
        return np.stack([self._occupancy[horizon](site, ids), self._site_markov[horizon](site, last, ids)])

    def _forecast(self, at: Positions) -> tuple[np.ndarray, np.ndarray]:
        weights = self._weights[at.horizon]

        def probability(ids: np.ndarray) -> np.ndarray:
            return np.tensordot(weights, self._parts_at(at, ids), axes=1)

        return mixture_forecast(at, probability, self._best_outside(at))

    def _best_outside(self, at: Positions) -> np.ndarray:
        """The best of these candidates: IDs the residue showed, IDs that can win the pooled row, the commonest ID."""
        markov, occupancy = self._markov[at.horizon], self._occupancy[at.horizon]
        _, first, which = np.unique(_context(at, markov.table.num_clusters), return_index=True, return_inverse=True)
        site, last, known = at.site[first], at.last[first], at.num_known[first] > 0
        entries = markov.frontier.entries(last + 1).joined(occupancy.table.entries(site))
        query, ids = entries.with_id(markov.unigram.top, len(first))
        none = np.zeros(len(ids))
        pooled = parts(markov, last[query], ids, none, none, known[query])
        own = self._own_parts(at.horizon, site[query], last[query], ids)
        values = np.tensordot(self._weights[at.horizon], np.concatenate([pooled, own]), axes=1)
        return best_entry(Entries(query, ids), values, len(first))[which]


def _context(at: Positions, num_clusters: int) -> np.ndarray:
    """A number (P,) for all that decides the best class outside the history: site, last ID, whether any is known."""
    return (at.site * (num_clusters + 1) + at.last + 1) * 2 + (at.num_known > 0)

"""Parts of mixtures that are tables of counts of training."""

from collections.abc import Callable

import numpy as np

from .parts import ClassTable, Part, Uniform, Unigram
from .positions import Positions
from .tally import CountTable

_MARKOV_PRIOR = 0.01
_PRIORS = 2.0 ** np.arange(-3, 13)


class Smoothed:
    """(count + a q(y)) / (n + a): how often each ID was seen in a row of counts, backed off to a distribution q.

    Where the row was never seen, it is q.
    """

    num = 1

    def __init__(self, counts: CountTable, row: Callable[[Positions], np.ndarray], prior: float, back_off: Part):
        """
        Args:
            row: gives the row label (P,) of each position, negative where there is none.
            prior: a, how many observations q is worth.
            back_off: q, one distribution.
        """
        self._counts, self._row, self._prior, self._back_off = counts, row, prior, back_off

    def of(self, at: Positions, ids: np.ndarray, left_out: int = 0) -> np.ndarray:
        row = self._row(at)
        less = np.where(row >= 0, left_out, 0)
        count, total = self._counts.count(row, ids) - less, self._counts.total(row) - less
        return (count + self._prior * self._back_off.of(at, ids)) / (total + self._prior)

    def add_to(self, table: ClassTable, at: Positions, weights: np.ndarray) -> None:
        row = self._row(at)
        share = weights[0] / (self._counts.total(row) + self._prior)
        entries = self._counts.entries(row)
        table.add(entries.query, entries.ids, share[entries.query] * entries.counts)
        self._back_off.add_to(table, at, self._prior * share[None])


def markov(last: np.ndarray, ids: np.ndarray, counts: np.ndarray, unigram: Unigram) -> Smoothed:
    """P_h(y | last), pooled over residues: (count + .01), normalised; the unigram where `last` is missing.

    Args:
        last, ids, counts: (E,) how often each ID followed `last` (MISSING_ID allowed).
    """
    num_clusters = len(unigram.probabilities)
    table = CountTable(last, ids, counts, num_clusters)
    return Smoothed(table, lambda at: at.last, _MARKOV_PRIOR * num_clusters, Uniform(unigram))


def best_prior(rows: np.ndarray, ids: np.ndarray, counts: np.ndarray, unigram: Unigram) -> float:
    """The power of 2 under which the counts are most probable, each observation with itself left out.

    It is the a with the largest sum of count log((count - 1 + a unigram) / (n - 1 + a)), n being the total of the row.

    Args:
        rows, ids, counts: (E,), each pair of row and ID once.
    """
    common, num_clusters = unigram.probabilities[ids], len(unigram.probabilities)
    total = CountTable(rows, ids, counts, num_clusters).total(rows)
    likelihoods = [np.sum(counts * np.log((counts - 1 + a * common) / (total - 1 + a))) for a in _PRIORS]
    return float(_PRIORS[int(np.argmax(likelihoods))])

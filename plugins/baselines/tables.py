"""The probability tables that baselines are made of, for one horizon each, from training counts."""

import numpy as np

from .tally import CountTable

_UNIGRAM_PRIOR = 0.5
_MARKOV_PRIOR = 0.01
_SITE_PRIOR = 5.0
_PRIORS = 2.0 ** np.arange(-3, 13)


class Unigram:
    """How common each cluster is among the targets: (count + .5), normalised."""

    def __init__(self, counts: np.ndarray):
        """counts: (C,)."""
        self.probabilities = (counts + _UNIGRAM_PRIOR) / (counts.sum() + _UNIGRAM_PRIOR * len(counts))
        self.top = int(np.argmax(counts))

    def __call__(self, ids: np.ndarray) -> np.ndarray:
        """p(y) of the IDs, any shape."""
        return self.probabilities[ids]


class Markov:
    """P_h(y | last), pooled over residues: (count + .01), normalised; the unigram where `last` is missing."""

    def __init__(self, last: np.ndarray, ids: np.ndarray, counts: np.ndarray, unigram: Unigram):
        """last, ids, counts: (E,) how often `ids` followed `last` (MISSING_ID allowed)."""
        self.table = CountTable(last + 1, ids, counts, len(unigram.probabilities))
        self.unigram = unigram
        self.frontier = self.table.frontier(unigram.probabilities)

    def __call__(self, last: np.ndarray, ids: np.ndarray) -> np.ndarray:
        """P_h(y | last) at each pair of `last` and ID, broadcast."""
        total = self.table.total(last + 1) + _MARKOV_PRIOR * self.table.num_clusters
        return np.where(last >= 0, (self.table.count(last + 1, ids) + _MARKOV_PRIOR) / total, self.unigram(ids))


class Occupancy:
    """How common each cluster is at a site (a residue of a protein): (count + a unigram) / (n + a), a = `prior`."""

    def __init__(
        self, site: np.ndarray, ids: np.ndarray, counts: np.ndarray, unigram: Unigram, prior: float | None = _SITE_PRIOR
    ):
        """
        Args:
            site, ids, counts: (E,) how often each ID was at a site, each pair once.
            prior: None takes the power of 2 that predicts the counts best, each with itself left out.
        """
        self.table = CountTable(site, ids, counts, len(unigram.probabilities))
        self.unigram = unigram
        self.prior = prior if prior is not None else _best_prior(counts, self.table.total(site), unigram(ids))

    def __call__(self, site: np.ndarray, ids: np.ndarray) -> np.ndarray:
        """p(y | site) at each pair of site and ID, broadcast; the unigram at sites not seen in training."""
        seen = self.table.count(site, ids) + self.prior * self.unigram(ids)
        return seen / (self.table.total(site) + self.prior)


class SiteMarkov:
    """P_h(y | last, site), backed off to the pooled Markov table: (count + 5 P_h(y | last)) / (n + 5)."""

    def __init__(self, site: np.ndarray, last: np.ndarray, ids: np.ndarray, counts: np.ndarray, markov: Markov):
        self.markov = markov
        self._num_clusters = markov.table.num_clusters
        self.table = CountTable(self._row(site, last), ids, counts, self._num_clusters)

    def __call__(self, site: np.ndarray, last: np.ndarray, ids: np.ndarray) -> np.ndarray:
        """P_h(y | last, site) at each triple of site, `last` and ID, broadcast."""
        row = self._row(site, last)
        total = np.where(last >= 0, self.table.total(row), 0.0)
        count = np.where(last >= 0, self.table.count(row, ids), 0.0)
        return (count + _SITE_PRIOR * self.markov(last, ids)) / (total + _SITE_PRIOR)

    def _row(self, site: np.ndarray, last: np.ndarray) -> np.ndarray:
        return site * (self._num_clusters + 1) + last + 1


def _best_prior(counts: np.ndarray, totals: np.ndarray, unigram: np.ndarray) -> float:
    """The a with the largest sum of count log((count - 1 + a unigram) / (n - 1 + a)). All are (E,); n: `totals`."""
    likelihoods = [np.sum(counts * np.log((counts - 1 + a * unigram) / (totals - 1 + a))) for a in _PRIORS]
    return float(_PRIORS[int(np.argmax(likelihoods))])

"""The hardest baseline known: interpolated, plus tables of each residue. Only for proteins seen in training."""

from collections.abc import Iterable

import numpy as np

from emprot_core.batch import Batch
from emprot_core.registry import register

from .counted import Weighted
from .mixture import Mixture
from .own_past import Caches, Stays
from .parts import Unigram
from .positions import Positions
from .tables import Smoothed, markov
from .tally import Counts, CountTable

_SITE_PRIOR = 5.0


@register("baseline", "interpolated_residue")
class InterpolatedResidue(Weighted):
    """interpolated + w5 occupancy of the residue + w6 Markov table of the residue, backed off to the pooled one.

    Both are smoothed with a prior of 5: (count + 5 unigram(y)) / (n + 5) and (count + 5 P_h(y | last)) / (n + 5). The
    tables are counted in training. The six weights of each horizon are fitted by EM on *validation*, because tables of
    single residues are too sharp on the windows they were counted on. Without validation windows the weights are equal.
    """

    name = "interpolated_residue"
    same_protein = True

    def __init__(self, window: int | None = None):
        """
        Args:
            window: how many of the last frames of a batch it reads; None reads all.
        """
        self.window = window

    def _observed(self, train: Iterable[Batch], validation: Iterable[Batch]) -> Iterable[Batch]:
        return validation

    def _key(self, at: Positions) -> np.ndarray:
        return (self._sites.learn(at) * (self._num_clusters + 1) + at.last + 1) * self._num_clusters + at.target

    def _mixture(self, counted: Counts) -> Mixture:
        num_clusters, counts = self._num_clusters, counted.counts
        site_and_last, ids = np.divmod(counted.keys, num_clusters)
        site, from_last = np.divmod(site_and_last, num_clusters + 1)
        last = from_last - 1
        unigram = Unigram(ids, counts, num_clusters)
        pooled = markov(last, ids, counts, unigram)
        occupancy = CountTable(site, ids, counts, num_clusters)
        own_rows = CountTable(self._row(site, last), ids, counts, num_clusters)
        own = [
            Smoothed(occupancy, self._sites.find, _SITE_PRIOR, unigram),
            Smoothed(own_rows, lambda at: self._row(self._sites.find(at), at.last), _SITE_PRIOR, pooled),
        ]
        return Mixture([Stays(unigram), Caches((1.0,), unigram), pooled, unigram, *own], unigram)

    def _row(self, site: np.ndarray, last: np.ndarray) -> np.ndarray:
        """The row of a site's transitions from an ID: negative where the site was never seen or the ID is missing."""
        return np.where(last >= 0, site * self._num_clusters + last, -1)

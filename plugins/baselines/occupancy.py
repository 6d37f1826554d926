"""Every residue is drawn from its own frequencies in training. Needs the same protein in training and test."""

import numpy as np

from emprot_core.registry import register

from .counted import Counted
from .mixture import Mixture
from .parts import Unigram
from .positions import Positions
from .tables import Smoothed, best_prior
from .tally import Counts, CountTable


@register("baseline", "occupancy")
class OccupancyBaseline(Counted):
    """p(y) = (count of y at the residue + a unigram(y)) / (n + a), n its total count; one table per horizon.

    `a` is the power of 2 under which the training frames are most probable, each with itself left out. The order of the
    frames plays no part, so this is the control for forecasts that claim to know the dynamics. A residue of a protein
    never seen has the unigram.
    """

    name = "occupancy"
    window = 1  # it reads no frame
    same_protein = True

    def _key(self, at: Positions) -> np.ndarray:
        return self._sites.learn(at) * self._num_clusters + at.target

    def _mixture(self, counted: Counts) -> Mixture:
        site, ids = np.divmod(counted.keys, self._num_clusters)
        unigram = Unigram(ids, counted.counts, self._num_clusters)
        prior = best_prior(site, ids, counted.counts, unigram)
        table = CountTable(site, ids, counted.counts, self._num_clusters)
        return Mixture([Smoothed(table, self._sites.find, prior, unigram)], unigram)

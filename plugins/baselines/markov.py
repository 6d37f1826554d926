"""Every residue moves from its last frame by transition tables pooled over residues, one per lag time."""

import numpy as np

from emprot_core.registry import register

from .counted import Counted
from .mixture import Mixture
from .parts import Unigram
from .positions import Positions
from .tables import markov
from .tally import Counts


@register("baseline", "markov")
class MarkovBaseline(Counted):
    """P_h(y | last) = (count + .01), normalised, with one table per horizon; the unigram if `last` is missing."""

    name = "markov"
    window = 1  # it reads the last frame

    def _key(self, at: Positions) -> np.ndarray:
        return (at.last + 1) * self._num_clusters + at.target

    def _mixture(self, counted: Counts) -> Mixture:
        from_last, ids = np.divmod(counted.keys, self._num_clusters)
        unigram = Unigram(ids, counted.counts, self._num_clusters)
        return Mixture([markov(from_last - 1, ids, counted.counts, unigram)], unigram)

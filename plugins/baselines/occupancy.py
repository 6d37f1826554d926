"""Every residue is drawn from its own frequencies in training. Needs the same protein in training and test."""

from collections.abc import Iterable

import numpy as np

from emprot_core.batch import Batch
from emprot_core.contracts import Prediction
from emprot_core.registry import register

from .positions import Positions, count_keys, predict_positions
from .tables import Occupancy, Unigram
from .tally import best_entry


@register("baseline", "occupancy")
class OccupancyBaseline:
    """p(y) = (count of y at the residue + a unigram(y)) / (n + a), n its total count; one table per horizon.

    `a` is the power of 2 under which the training frames are most probable, each with itself left out. The order of the
    frames plays no part, so this is the control for forecasts that claim to know the dynamics.
    """

    name = "occupancy"

    def fit(self, train: Iterable[Batch], validation: Iterable[Batch], num_clusters: int) -> None:
        self._tables = []
        for keys, counts in count_keys(train, lambda at: at.site * num_clusters + at.target):
            site, ids = np.divmod(keys, num_clusters)
            unigram = Unigram(np.bincount(ids, counts, minlength=num_clusters))
            self._tables.append(Occupancy(site, ids, counts, unigram, prior=None))

    def predict(self, batch: Batch) -> Prediction:
        return predict_positions(batch, self._forecast)

    def _forecast(self, at: Positions) -> tuple[np.ndarray, np.ndarray]:
        table = self._tables[at.horizon]
        sites, which = np.unique(at.site, return_inverse=True)
        entries = table.table.entries(sites).with_id(table.unigram.top, len(sites))
        best = best_entry(entries, table(sites[entries.query], entries.ids), len(sites))
        return best[which], -np.log(table(at.site, at.target))

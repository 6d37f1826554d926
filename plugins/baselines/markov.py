"""Every residue moves from its last frame by transition tables pooled over residues, one per lag time."""

from collections.abc import Iterable

import numpy as np

from emprot_core.batch import Batch
from emprot_core.contracts import Prediction
from emprot_core.registry import register

from .positions import Positions, count_keys, predict_positions
from .tables import Markov, Unigram
from .tally import best_entry


@register("baseline", "markov")
class MarkovBaseline:
    """P_h(y | last) = (count + .01), normalised, with one table per horizon; the unigram if `last` is missing."""

    name = "markov"

    def fit(self, train: Iterable[Batch], validation: Iterable[Batch], num_clusters: int) -> None:
        self._tables = []
        for keys, counts in count_keys(train, lambda at: (at.last + 1) * num_clusters + at.target):
            from_last, ids = np.divmod(keys, num_clusters)
            unigram = Unigram(np.bincount(ids, counts, minlength=num_clusters))
            self._tables.append(Markov(from_last - 1, ids, counts, unigram))

    def predict(self, batch: Batch) -> Prediction:
        return predict_positions(batch, self._forecast)

    def _forecast(self, at: Positions) -> tuple[np.ndarray, np.ndarray]:
        table = self._tables[at.horizon]
        lasts, which = np.unique(at.last, return_inverse=True)
        entries = table.frontier.entries(lasts + 1).with_id(table.unigram.top, len(lasts))
        best = best_entry(entries, table(lasts[entries.query], entries.ids), len(lasts))
        return best[which], -np.log(table(at.last, at.target))

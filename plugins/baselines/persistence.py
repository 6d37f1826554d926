"""Every residue stays as it is."""

from collections.abc import Iterable

import numpy as np

from emprot_core.batch import Batch
from emprot_core.contracts import Prediction
from emprot_core.data.history import last_known, observed_history
from emprot_core.registry import register

from .positions import most_common_target


@register("baseline", "persistence")
class Persistence:
    """y = the last known ID of the window, or the commonest training target if the window has none."""

    name = "persistence"

    def fit(self, train: Iterable[Batch], validation: Iterable[Batch], num_clusters: int) -> None:
        self._fallback = most_common_target(train, num_clusters)

    def predict(self, batch: Batch) -> Prediction:
        last = last_known(observed_history(batch))
        predicted = np.where(last >= 0, last, self._fallback)
        return Prediction(np.repeat(predicted[:, None], batch["future_cluster_ids"].shape[1], axis=1), None)

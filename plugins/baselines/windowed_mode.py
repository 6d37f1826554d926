"""Every residue takes the commonest ID of its own history."""

from collections.abc import Iterable

import numpy as np

from emprot_core.batch import Batch
from emprot_core.contracts import Prediction
from emprot_core.data.history import observed_history
from emprot_core.registry import register

from .positions import most_common_target


@register("baseline", "windowed_mode")
class WindowedMode:
    """y = the commonest ID of the window (on ties the most recent), or the commonest target if it has none."""

    name = "windowed_mode"

    def __init__(self, window: int | None = None):
        """
        Args:
            window: how many of the last frames of a batch it reads; None reads all.
        """
        self.window = window

    def fit(self, train: Iterable[Batch], validation: Iterable[Batch], num_clusters: int) -> None:
        self._fallback = most_common_target(train, num_clusters)

    def predict(self, batch: Batch) -> Prediction:
        history = observed_history(batch)[:, -(self.window or 0) :]
        predicted = np.full((history.shape[0], history.shape[2]), self._fallback)
        most = np.zeros_like(predicted)
        for frame in history.swapaxes(0, 1)[::-1]:  # most recent first: on ties the older ID must not win
            seen = np.where(frame >= 0, (history == frame[:, None]).sum(axis=1), 0)
            predicted, most = np.where(seen > most, frame, predicted), np.maximum(seen, most)
        return Prediction(np.repeat(predicted[:, None], batch["future_cluster_ids"].shape[1], axis=1), None)

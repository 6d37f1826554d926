"""What stands beside the model in every table of results."""

from collections.abc import Iterable
from typing import NamedTuple, Protocol

import numpy as np

from emprot_core.batch import Batch


class Prediction(NamedTuple):
    """A baseline's forecast of a batch."""

    predicted: np.ndarray  # (B, F, N) int, the most probable class
    nll_nats: np.ndarray | None  # (B, F, N) float of the target, None where the baseline gives no distribution


class Baseline(Protocol):
    """A forecast that needs no training by gradient. Fitted on training windows alone, unless it says otherwise."""

    name: str

    def fit(self, train: Iterable[Batch], validation: Iterable[Batch], num_clusters: int) -> None: ...

    def predict(self, batch: Batch) -> Prediction:
        """Values at positions outside the target mask mean nothing."""

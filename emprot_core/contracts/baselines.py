"""Baselines: simple forecasts that are scored beside the model in every table of results."""

from collections.abc import Iterable
from typing import NamedTuple, Protocol

import numpy as np

from emprot_core.batch import Batch


class Prediction(NamedTuple):
    """A baseline's forecast of a batch."""

    predicted: np.ndarray  # (B, F, N) int, the most probable class
    nll_nats: np.ndarray | None  # (B, F, N) float, NLL of the target; None if the baseline gives no distribution


class Baseline(Protocol):
    """A forecast without gradient training, fitted on the training windows only unless its docstring says otherwise."""

    name: str

    def fit(self, train: Iterable[Batch], validation: Iterable[Batch], num_clusters: int) -> None: ...

    def predict(self, batch: Batch) -> Prediction:
        """The forecast of a batch. Values outside the target mask have no meaning."""

"""Baselines: simple forecasts that are scored beside the model in every table of results."""

from collections.abc import Iterable, Mapping
from typing import NamedTuple, Protocol, runtime_checkable

import numpy as np

from emprot_core.batch import Batch


class Prediction(NamedTuple):
    """A baseline's forecast of a batch."""

    predicted: np.ndarray  # (B, F, N) int, the most probable class
    nll_nats: np.ndarray | None  # (B, F, N) float, NLL of the target; None if the baseline gives no distribution


class Forecaster(Protocol):
    """What can be scored: a baseline, a trained model, a forecast from a file."""

    name: str

    def predict(self, batch: Batch) -> Prediction:
        """The forecast of a batch. Values outside the target mask have no meaning."""


@runtime_checkable
class GivesProbabilities(Protocol):
    """A forecaster that gives a probability to every class, so that it can be calibrated, sampled from and mixed."""

    def probabilities(self, batch: Batch, horizon: int) -> np.ndarray:
        """(B, N, C) float32 or float64: p(y) of every residue, `horizon` frames after the last input frame.

        Each row sums to 1, in padding and where a residue is unknown too. The targets of the batch play no part and may
        all be missing. The nll of `predict` is -log of the target's probability.

        Args:
            horizon: h, from 1 to F.

        Raises:
            EmprotError: the baseline was fitted on batches with fewer future steps.
        """


class Baseline(Forecaster, Protocol):
    """A forecast without gradient training, fitted on the training windows only unless its docstring says otherwise.

    The class attributes same_protein and always_shown (bool) may be left out, and are False then. A baseline with
    same_protein knows single residues from training, so it means something only on proteins of the training split. On
    others it falls back to what all residues have in common. The gain over one with always_shown has columns of its
    own in the table of results, whichever baseline is the best.
    """

    def fit(self, train: Iterable[Batch], validation: Iterable[Batch], num_clusters: int) -> None: ...


@runtime_checkable
class SavedBaseline(Baseline, Protocol):
    """A baseline whose fitted state a run keeps, so that it is fitted once. One without is fitted at every start."""

    def state_dict(self) -> dict[str, np.ndarray]:
        """All that `fit` found, as arrays of numbers: np.savez writes them and np.load reads them without pickle."""

    def load_state_dict(self, state: Mapping[str, np.ndarray]) -> None:
        """Take a state instead of a fit. Predictions and probabilities are the same to the last bit.

        The baseline must have been built with the same arguments.
        """

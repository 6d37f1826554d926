"""Scores beyond NLL and accuracy, of a model and of the baselines beside it."""

from typing import Any, Protocol, runtime_checkable

from torch import Tensor

from emprot_core.batch import Batch
from emprot_core.contracts.data import Data


class Score(Protocol):
    """Judges probabilities, horizon by horizon. The framework copies it, so that each forecaster has one of its own.

    The calls are `start`, then `add` for each batch of the split, then `result`.
    """

    def start(self, num_clusters: int, horizon: int) -> None:
        """Begin, with C classes and F future steps. What was added before is forgotten."""

    def add(self, probabilities: Tensor, batch: Batch) -> None:
        """Add a batch, or some windows of one where C is large.

        Args:
            probabilities: (B, F, N, C) float32 on the CPU. Each row sums to 1. Rows outside the target mask have no
                meaning, and may be NaN.
            batch: the windows, on the CPU.
        """

    def result(self) -> dict[str, list[Any]]:
        """Values [F] by name, for all ranks together: a number, None where nothing was counted, or rows of numbers.

        All ranks must call it.
        """


@runtime_checkable
class UsesData(Protocol):
    """A score that needs to know more than the batches tell."""

    def use_data(self, data: Data, training: Data | None) -> None:
        """Called once, before the score is copied.

        Args:
            data: what is scored.
            training: the data that the model was trained on; None where they cannot be had.
        """

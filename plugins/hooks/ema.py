"""An exponential moving average of the weights."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from emprot_core.errors import EmprotError
from emprot_core.hooks.base import Hook, TrainerView
from emprot_core.registry import register


@register("hook")
class EMA(Hook):
    """Validates, chooses the best checkpoint and scores with averaged weights (Polyak & Juditsky 1992).

    Training goes on with the plain weights. After every step, average = decay x average + (1 - decay) x weights. The
    decay is at most (1 + step) / (10 + step), so that the weights of the first steps are soon forgotten.
    """

    def __init__(self, decay: float = 0.99):
        """
        Args:
            decay: share of the old average in the new one, from 0 to 1.

        Raises:
            EmprotError: decay lies outside (0, 1).
        """
        if not 0 < decay < 1:
            raise EmprotError(f"decay is {decay}, expected a number between 0 and 1, such as 0.99")
        self.decay = decay
        self._average: list[Tensor] = []

    def on_fit_start(self, trainer: TrainerView) -> None:
        self._average = [parameter.detach().clone() for parameter in trainer.parameters]
        trainer.use_evaluation_weights = lambda: self._in_place_of(trainer.parameters)

    def on_step_end(self, trainer: TrainerView) -> None:
        decay = min(self.decay, (1 + trainer.step) / (10 + trainer.step))
        torch._foreach_lerp_(self._average, [parameter.detach() for parameter in trainer.parameters], 1 - decay)

    def state_dict(self) -> dict[str, Any]:
        return {"average": self._average}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        for average, saved in zip(self._average, state["average"], strict=True):
            average.copy_(saved)

    @contextmanager
    def _in_place_of(self, parameters: list[nn.Parameter]) -> Iterator[None]:
        values = [parameter.detach() for parameter in parameters]
        trained = [value.clone() for value in values]
        try:
            torch._foreach_copy_(values, self._average)
            yield
        finally:
            torch._foreach_copy_(values, trained)

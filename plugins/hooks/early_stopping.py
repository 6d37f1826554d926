"""Stops training when validation no longer improves."""

import math

from emprot_core.hooks.base import Hook, TrainerView
from emprot_core.registry import register


@register("hook")
class EarlyStopping(Hook):
    """Stops after `patience` validations in a row that did not lower the best val/total_loss by `min_delta`."""

    state_names = ("best", "num_without_gain")

    def __init__(self, patience: int | None = 5, min_delta: float = 0.0):
        """
        Args:
            patience: number of validations; None never stops training.
            min_delta: the improvement that a validation has to exceed, in nats.

        Raises ValueError if patience is below 1.
        """
        if patience is not None and patience < 1:
            raise ValueError(f"patience is {patience}, expected 1 or more, or None to never stop training")
        self.patience = patience
        self.min_delta = min_delta
        self.best = math.inf
        self.num_without_gain = 0

    def on_validation_end(self, trainer: TrainerView) -> None:
        loss = trainer.val_logs["val/total_loss"]
        if loss < self.best - self.min_delta:
            self.best, self.num_without_gain = loss, 0
            return
        self.num_without_gain += 1
        if self.patience is not None and self.num_without_gain >= self.patience:
            trainer.request_stop(
                f"early stopping: val/total_loss was not {self.min_delta:g} below {self.best:.5f} "
                f"in {self.num_without_gain} validations"
            )

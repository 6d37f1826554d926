"""Guarding the weights against a loss or gradient that is not finite."""

import json

import torch
from torch import Tensor

from emprot_core.hooks.base import Hook, TrainerView
from emprot_core.registry import register


class NonFiniteError(ArithmeticError):
    """The gradient norm was NaN or infinite; the weights are those before that step."""


@register("hook")
class NonFinite(Hook):
    """Withhold the update of a step whose gradient norm is not finite, then stop with the windows named.

    The optimizer is told on the device (found_inf of torch's fused optimizers); the flag is read at the next
    log step, so that CUDA need not wait. The windows of the step go to non_finite.json in the run directory.
    """

    def __init__(self) -> None:
        self._bad: list[tuple[int, Tensor, list[Tensor]]] = []

    def on_backward_end(self, trainer: TrainerView) -> None:
        if trainer.scaler.is_enabled():
            return  # the fp16 scaler withholds such steps itself and lowers its scale
        bad = ~trainer.gradient_norm().isfinite()
        trainer.optimizer.found_inf = bad.float()  # type: ignore[attr-defined]
        windows = [batch["window_ids"] for batch in trainer.micro_batches if "window_ids" in batch]
        self._bad.append((trainer.step, bad, windows))

    def on_step_end(self, trainer: TrainerView) -> None:
        if not self._bad or not (trainer.is_log_step or trainer.run.device.type == "cpu"):
            return
        recent, self._bad = self._bad, []
        flags = torch.stack([bad for _, bad, _ in recent]).tolist()
        if any(flags):
            step, _, windows = recent[flags.index(True)]
            raise NonFiniteError(_report(trainer, step, [int(i) for ids in windows for i in ids]))


def _report(trainer: TrainerView, step: int, windows: list[int]) -> str:
    where = ""
    if trainer.run.directory is not None:
        path = trainer.run.directory / "non_finite.json"
        path.write_text(json.dumps({"step": step, "window_ids": windows}) + "\n")
        where = f"; its windows are in {path}"
    return (
        f"the gradient norm of optimizer step {step} is not finite, its update was withheld{where}; "
        "lower the learning rate, or look for broken values in those windows"
    )

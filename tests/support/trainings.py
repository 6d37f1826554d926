"""What tests of trainings share."""

import math

import torch

from emprot_core import registry
from emprot_core.hooks.base import Hook
from emprot_core.training.loop import VALIDATION


def hook(name: str, **options):
    return registry.get("hook", name)(**options)


def weights(trainer) -> torch.Tensor:
    return torch.cat([p.detach().flatten() for p in trainer.model.parameters()])


class StopAt(Hook):
    """Asks to leave at a step, or inside the n-th validation."""

    def __init__(self, step: int | None = None, validation: int | None = None):
        self.step, self.validation = step, validation

    def on_step_end(self, trainer) -> None:
        if trainer.step == self.step:
            trainer.request_stop("asked to", exit_status=130)

    def on_validation_step_end(self, trainer) -> None:
        if VALIDATION in trainer.due and trainer.step == self.validation:
            trainer.request_stop("asked to", exit_status=130)


class Watch(Hook):
    """Keeps the gradient norm after all other hooks of the event, and the weights before the step."""

    def on_step_start(self, trainer) -> None:
        self.before = weights(trainer).clone()

    def on_backward_end(self, trainer) -> None:
        self.norm_before = float(trainer.gradient_norm())
        self.norm_after = math.sqrt(sum(float(p.grad.double().square().sum()) for p in trainer.parameters))

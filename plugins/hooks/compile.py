"""Compiling model, loss and metrics."""

import logging

import torch

from emprot_core.hooks.base import Hook, TrainerView
from emprot_core.registry import register

_log = logging.getLogger("emprot")


@register("hook")
class Compile(Hook):
    """torch.compile over a batch's way through model, loss and metrics, in training and validation.

    The first steps take as long as compiling does, and so does a batch with another number of residues until torch
    compiles for any number. The last digits differ from those of a run without it. On a CPU it needs a C++ compiler.
    """

    def __init__(self, mode: str | None = None):
        """
        Args:
            mode: of torch.compile: "default", "reduce-overhead" (CUDA graphs), "max-autotune"; torch's choice if None.
        """
        self.mode = mode

    def on_fit_start(self, trainer: TrainerView) -> None:
        # The function and not the module: other hooks hang theirs on the module, and they cannot be compiled.
        _log.info("compiling the training step: the first steps take seconds to minutes")
        forward = trainer.forward_loss.forward
        trainer.forward_loss.forward = torch.compile(forward, mode=self.mode)

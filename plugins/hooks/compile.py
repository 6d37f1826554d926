"""Compiles model, loss and metrics."""

import logging
from typing import Any

import torch

from emprot_core.hooks.base import Hook, TrainerView
from emprot_core.registry import register

_log = logging.getLogger("emprot")


@register("hook")
class Compile(Hook):
    """Compiles model, loss and metrics together with torch.compile, for training and validation.

    A loss that reads features is left as it is: it has products and kernels of its own, which the compiler cannot read.

    The first steps are slow because they include the compilation. A batch with another number of residues triggers
    another one, until torch compiles for any number. Results differ in the last digits from those of a run without this
    hook. On a CPU it needs a C++ compiler.

    Measure before you keep it. The step of base.gin takes 1.08 times as long with it on a CPU, and a step of the GPCR's
    size (D = 512, 50,000 classes) runs 1.25 times as fast with it on an H200. There a step of base.gin's
    size runs 2.9 times as fast with the mode "reduce-overhead".
    """

    def __init__(self, mode: str | None = None):
        """
        Args:
            mode: the mode of torch.compile: "default", "reduce-overhead" (CUDA graphs) or "max-autotune"; None lets
                torch choose.
        """
        self.mode = mode

    def on_fit_start(self, trainer: TrainerView) -> None:
        # Compile the function, not the module: other hooks attach callbacks to the module that cannot be compiled.
        torch.use_deterministic_algorithms(torch.are_deterministic_algorithms_enabled())  # tells the compiler too
        _log.info("compiling the training step: the first steps take seconds to minutes")
        step: Any = trainer.forward_loss
        if step.loss.inputs == "features":
            inputs, step.loss = step.loss.inputs, torch.compiler.disable(step.loss.__call__)
            step.loss.inputs = inputs
        step.forward = torch.compile(step.forward, mode=self.mode)

"""Activation checkpointing: less memory for more time, because activations are computed twice."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

from emprot_core.errors import EmprotError
from emprot_core.hooks.base import Hook, TrainerView
from emprot_core.registry import register


@register("hook")
class ActivationCheckpointing(Hook):
    """Keeps only the inputs of some modules and recomputes the rest in the backward pass (Chen et al. 2016).

    Results stay the same to the bit, dropout included.
    """

    def __init__(self, modules: Sequence[str] = ("AttentionLayer", "FeedForward")):
        """
        Args:
            modules: class names of the modules to recompute; by default the sublayers that every mixing is made of.
        """
        self.modules = list(modules)

    def on_fit_start(self, trainer: TrainerView) -> None:
        """
        Raises:
            EmprotError: the model has no module of these classes.
        """
        chosen = [module for module in trainer.model.modules() if type(module).__name__ in self.modules]
        if not chosen:
            there = sorted({type(module).__name__ for module in trainer.model.modules()})
            raise EmprotError(
                f"ActivationCheckpointing.modules are {self.modules}, none of which is in the model; "
                f"it has {', '.join(there)}"
            )
        for module in chosen:
            _recompute(module)


def _recompute(module: nn.Module) -> None:
    forward = module.forward

    def kept_or_not(*arguments: Any, **named: Any) -> Any:
        if not (module.training and torch.is_grad_enabled()):
            return forward(*arguments, **named)
        return checkpoint(forward, *arguments, use_reentrant=False, **named)

    module.forward = kept_or_not

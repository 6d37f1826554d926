"""Clips the gradient norm."""

import torch

from emprot_core.errors import EmprotError
from emprot_core.hooks.base import Hook, TrainerView
from emprot_core.registry import register


@register("hook")
class ClipGradients(Hook):
    """Scales the gradients of a step down to a total L2 norm of at most `max_grad_norm` (Pascanu et al. 2013)."""

    def __init__(self, max_grad_norm: float | None = 1.0):
        """
        Args:
            max_grad_norm: the largest norm allowed; None leaves the gradients as they are.

        Raises:
            EmprotError: max_grad_norm is not above 0.
        """
        if max_grad_norm is not None and not max_grad_norm > 0:
            raise EmprotError(f"max_grad_norm is {max_grad_norm}, expected a number above 0, or None to not clip")
        self.max_grad_norm = max_grad_norm

    def on_backward_end(self, trainer: TrainerView) -> None:
        if self.max_grad_norm is None:
            return
        norm = trainer.gradient_norm()
        # On CUDA this comparison would wait for the device, so small gradients are divided by 1 instead.
        if not norm.is_cuda and norm <= self.max_grad_norm:
            return
        torch._foreach_div_(trainer.gradients, ((norm + 1e-6) / self.max_grad_norm).clamp(min=1.0))

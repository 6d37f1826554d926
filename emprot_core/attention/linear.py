"""torch's linear layer with products by oneDNN, where a CPU gains from it."""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd import Function
from torch.autograd.function import once_differentiable

from emprot_core.attention.products import gains_from_onednn, product


class Linear(nn.Linear):
    """torch's, parameters and all; see `linear`."""

    def forward(self, x: Tensor) -> Tensor:
        """(..., in) -> (..., out)."""
        return linear(x, self.weight, self.bias)


def linear(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """x (..., in) weight^T + bias as torch's F.linear gives it, to rounding; weight (out, in), bias (out,).

    Large products in fp32 on a CPU go by oneDNN, and are then not differentiable twice; all others are torch's own.
    """
    if torch.compiler.is_compiling() or not gains_from_onednn(x, x.numel() * weight.shape[0]):
        return F.linear(x, weight, bias)
    return _Linear.apply(x, weight, bias)


class _Linear(Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        rows = x.reshape(-1, x.shape[-1])
        ctx.save_for_backward(rows, weight)
        ctx.shape = x.shape
        return product(rows, weight.T, bias).view(*x.shape[:-1], len(weight))

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        rows, weight = ctx.saved_tensors
        wants_x, wants_weight, wants_bias = ctx.needs_input_grad
        errors = grad.reshape(-1, grad.shape[-1])
        grad_x = product(errors, weight).view(ctx.shape) if wants_x else None
        grad_weight = _weight_gradient(errors, rows) if wants_weight else None
        return grad_x, grad_weight, errors.sum(0) if wants_bias else None


def _weight_gradient(errors: Tensor, rows: Tensor) -> Tensor:
    """errors^T rows. The narrower one goes first: as the left factor oneDNN lays it out anew, which takes time."""
    if rows.shape[1] <= errors.shape[1]:
        return product(rows.T, errors).T
    return product(errors.T, rows)

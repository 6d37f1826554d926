"""torch's linear layer, computed by oneDNN where a CPU gains by it."""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd import Function
from torch.autograd.function import once_differentiable

from emprot_core.kernels.onednn import gains_from_onednn, product


class Linear(nn.Linear):
    """torch's nn.Linear, with the same parameters, computed by `linear`."""

    def forward(self, x: Tensor) -> Tensor:
        """(..., in) -> (..., out)."""
        return linear(x, self.weight, self.bias)


def linear(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """x (..., in) @ weight.T + bias, as torch's F.linear up to rounding. weight is (out, in), bias (out,).

    Large fp32 products on a CPU with AVX-512 are computed by oneDNN; these cannot be differentiated twice, nor by
    torch.func. All others are computed by torch's F.linear.
    """
    if torch.compiler.is_compiling() or not (_is_plain(x, weight, bias) and gains_from_onednn(x, weight)):
        return F.linear(x, weight, bias)
    return _Linear.apply(x.reshape(-1, x.shape[-1]), weight, bias).view(*x.shape[:-1], len(weight))


def _is_plain(x: Tensor, weight: Tensor, bias: Tensor | None) -> bool:
    """Whether the inputs are as the operator needs them. F.linear handles others, or says what is wrong."""
    if weight.ndim != 2 or x.shape[-1:] != weight.shape[1:] or x.dtype != weight.dtype:
        return False
    return bias is None or (bias.shape == weight.shape[:1] and bias.dtype == x.dtype and bias.is_contiguous())


class _Linear(Function):
    @staticmethod
    def forward(ctx: Any, rows: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        ctx.save_for_backward(rows, weight)
        return product(rows, weight.T, bias)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, errors: Tensor) -> tuple[Tensor | None, ...]:
        rows, weight = ctx.saved_tensors
        wants_rows, wants_weight, wants_bias = ctx.needs_input_grad
        grad_rows = product(errors, weight) if wants_rows else None
        grad_weight = _weight_gradient(errors, rows) if wants_weight else None
        return grad_rows, grad_weight, errors.sum(0) if wants_bias else None


def _weight_gradient(errors: Tensor, rows: Tensor) -> Tensor:
    """errors.T @ rows. The narrower one is the left factor, because oneDNN copies that one to a new layout first."""
    if rows.shape[1] <= errors.shape[1]:
        return product(rows.T, errors).T
    return product(errors.T, rows)

"""Softmax cross-entropy of a linear map, with gradients formed chunk by chunk in the forward pass.

The gradient of the logits, softmax - target, is already known in the forward pass, so nothing of the size of the
logits has to be kept for the backward pass (the idea of Liger, Hsu et al. 2024, arXiv:2410.10989; compare cut
cross-entropy, Wijmans et al. 2024, arXiv:2411.09009).
"""

import math
from collections.abc import Iterator
from itertools import accumulate
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from emprot_core.kernels import triton_runs
from emprot_core.kernels.onednn import add_product_, product, product_into

from .chunk_softmax import Chunk, Rows, by_torch, on_cuda


def chunked_cross_entropy(
    features: Tensor, weight: Tensor, bias: Tensor | None, rows: Rows, label_smoothing: float, chunk_rows: int
) -> tuple[Tensor, Tensor, Tensor]:
    """The loss () of the rows, and the cross-entropy (R,) and most probable class (R,) of each row.

    The loss is the weighted sum of the smoothed cross-entropy; the cross-entropy of a row is without smoothing.
    Products are computed in the dtype of autocast, or of the features. The loss can be differentiated once; gradients
    that nobody asks for are not computed.

    Args:
        features: (B, F, N, D).
        weight: (C, D).
        bias: (C,), (F, C) or None.
    """
    wanted = [torch.is_grad_enabled() and t is not None and t.requires_grad for t in (features, weight, bias)]
    if any(wanted):
        return _GradientsInForward.apply(features, weight, bias, rows, label_smoothing, chunk_rows, wanted)
    return _over_chunks(features, weight, bias, rows, label_smoothing, chunk_rows, None)


class _GradientsInForward(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, features: Tensor, weight: Tensor, bias: Tensor | None, *rest: Any) -> tuple[Tensor, ...]:
        rows, label_smoothing, chunk_rows, wanted = rest
        gradients = _Gradients(features, weight, bias, rows, wanted)
        loss, nll, predicted = _over_chunks(features, weight, bias, rows, label_smoothing, chunk_rows, gradients)
        ctx.gradients = gradients.results()
        ctx.mark_non_differentiable(nll, predicted)
        return loss, nll, predicted

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, loss_gradient: Tensor, *_: Any) -> tuple[Tensor | None, ...]:
        if ctx.gradients is None:
            raise RuntimeError("LinearCrossEntropy keeps its gradients for one backward pass; compute the loss anew")
        # Scale in place and drop the reference, so that only one (C, D) gradient of the weight is in memory.
        gradients, ctx.gradients = ctx.gradients, None
        return *(g if g is None else g.mul_(loss_gradient) for g in gradients), None, None, None, None


class _Gradients:
    """Sums the gradients that are wanted over chunks; the others are None."""

    def __init__(self, features: Tensor, weight: Tensor, bias: Tensor | None, rows: Rows, wanted: list[bool]):
        self.inputs, self.rows = (features, weight, bias), rows
        sums = rows.weight.dtype
        # Flat and contiguous, because the features of a model may be neither.
        self.features = features.new_zeros(features.shape).flatten(0, 2) if wanted[0] else None
        self.weight = torch.zeros_like(weight, dtype=sums) if wanted[1] else None
        self.bias = torch.zeros_like(bias, dtype=sums) if bias is not None and wanted[2] else None

    def add(self, chunk: Chunk, x: Tensor, weight: Tensor, error: Tensor, low: Tensor) -> None:
        """Add a chunk with features x (rows, D), which are overwritten.

        softmax - target (rows, C) is passed twice: as `error`, in the dtype of the sums where there is such a tensor,
        and as `low` in the dtype of the products.
        """
        row_weight = self.rows.weight[chunk.span]
        if self.features is not None:
            gradient = product(low, weight).mul_(row_weight[:, None])
            self.features.index_copy_(0, self.rows.position[chunk.span], gradient.to(self.features.dtype))
        if self.weight is not None:
            x.mul_(row_weight[:, None])
            add_product_(self.weight, low.t(), x)
        if self.bias is not None:
            self._add_to_bias(self.bias.view(-1, error.shape[1]), chunk.pieces, row_weight, error)

    def _add_to_bias(self, bias: Tensor, pieces: list[tuple[int, slice]], row_weight: Tensor, error: Tensor) -> None:
        """`bias` is (1, C), which all horizons share, or (F, C)."""
        places = [(min(horizon, len(bias) - 1), piece) for horizon, piece in pieces]
        if error.dtype == bias.dtype:
            for row, piece in places:
                bias[row].addmv_(error[piece].t(), row_weight[piece])
            return
        # A product adds up in the wider dtype; addmv_ would need a copy of all errors in it.
        shares = error.new_zeros(len(bias), len(error))
        for row, piece in places:
            shares[row, piece] = row_weight[piece].to(error.dtype)
        add_product_(bias, shares, error)

    def results(self) -> list[Tensor | None]:
        """The gradients, each in the shape and dtype of its input."""
        sums = (self.features, self.weight, self.bias)
        pairs = zip(sums, self.inputs, strict=True)
        return [None if g is None or t is None else g.view(t.shape).to(t.dtype) for g, t in pairs]


def _over_chunks(
    features: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    rows: Rows,
    label_smoothing: float,
    chunk_rows: int,
    gradients: _Gradients | None,
) -> tuple[Tensor, Tensor, Tensor]:
    dtype = product_dtype(features)
    x_of_all, weight = features.flatten(0, 2), weight.to(dtype)
    chunks = list(_chunks(rows.per_horizon, chunk_rows))
    low_of_all = weight.new_empty(max((chunk.num_rows for chunk in chunks), default=0), len(weight))
    softmax = on_cuda if weight.is_cuda and rows.weight.dtype == torch.float32 and triton_runs() else by_torch
    find = softmax(low_of_all, bias, rows, label_smoothing, gradients is not None)
    loss, nll, predicted = rows.weight.new_zeros(()), torch.empty_like(rows.weight), torch.empty_like(rows.target)
    for chunk in chunks:
        low = low_of_all[: chunk.num_rows]
        x = x_of_all.index_select(0, rows.position[chunk.span]).to(dtype)
        product_into(low, x, weight.t())
        objective, nll[chunk.span], predicted[chunk.span], error = find(chunk, low)
        loss += rows.weight[chunk.span].dot(objective)
        if gradients is not None:
            gradients.add(chunk, x, weight, error, low)
    return loss, nll, predicted


def product_dtype(features: Tensor) -> torch.dtype:
    """The dtype of autocast, which leaves float64 alone; without autocast, the dtype of the features."""
    device = features.device.type
    if torch.is_autocast_enabled(device) and features.dtype != torch.float64:
        return torch.get_autocast_dtype(device)
    return features.dtype


def _chunks(per_horizon: list[int], chunk_rows: int) -> Iterator[Chunk]:
    """Chunks of at most chunk_rows rows, as equal in size as possible."""
    total = sum(per_horizon)
    size = math.ceil(total / math.ceil(total / chunk_rows)) if total else 1
    ends = list(accumulate(per_horizon))
    for start in range(0, total, size):
        stop = min(start + size, total)
        bounds = [(max(start, end - count), min(stop, end)) for end, count in zip(ends, per_horizon, strict=True)]
        pieces = [(h, slice(low - start, high - start)) for h, (low, high) in enumerate(bounds) if low < high]
        yield Chunk(slice(start, stop), stop - start, pieces)

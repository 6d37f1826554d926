"""Cross-entropy of a chunk of logits, and softmax - target in their place: by torch, or by a kernel on CUDA."""

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor


class Rows(NamedTuple):
    """The R positions that count, ordered by horizon."""

    position: Tensor  # (R,) long, index into the flattened (B, F, N)
    target: Tensor  # (R,) long
    weight: Tensor  # (R,) float32, or float64 if the features are; the softmax and all sums use this dtype
    per_horizon: list[int]  # number of rows of each horizon


class Chunk(NamedTuple):
    span: slice  # of the rows
    num_rows: int
    pieces: list[tuple[int, slice]]  # (horizon, its rows within the chunk)


Find = Callable[[Chunk, Tensor], tuple[Tensor, Tensor, Tensor, Tensor]]
"""From a chunk and its products to smoothed and plain cross-entropy, best class and softmax - target.

If gradients are wanted, the products become softmax - target as well.
"""


def by_torch(low_of_all: Tensor, bias: Tensor | None, rows: Rows, smoothing: float, wants_gradient: bool) -> Find:
    """The operations of torch, on any device and in any dtype."""
    # One buffer for the products, and a second one for the sums if their dtype differs.
    sums = rows.weight.dtype
    p_of_all = low_of_all if low_of_all.dtype == sums else torch.empty_like(low_of_all, dtype=sums)

    def find(chunk: Chunk, low: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        p, target = p_of_all[: chunk.num_rows], rows.target[chunk.span, None]
        if p_of_all is not low_of_all:
            p.copy_(low)
        if bias is not None:
            per_horizon = bias.expand(len(rows.per_horizon), -1)
            for horizon, piece in chunk.pieces:
                p[piece] += per_horizon[horizon]
        found = _softmax_(p, target, smoothing)
        if wants_gradient:
            p.scatter_(1, target, p.gather(1, target) - (1 - smoothing))
            if smoothing:
                p -= smoothing / p.shape[1]
            if p_of_all is not low_of_all:
                low.copy_(p)
        return *found, p

    return find


def on_cuda(low_of_all: Tensor, bias: Tensor | None, rows: Rows, smoothing: float, wants_gradient: bool) -> Find:
    """The Triton kernel, in float32."""
    from ._softmax_kernel import softmax_  # needs triton, which torch brings on CUDA only

    horizons = torch.arange(len(rows.per_horizon), device=low_of_all.device)
    counts = torch.tensor(rows.per_horizon, device=low_of_all.device)
    horizon = torch.repeat_interleave(horizons, counts, output_size=sum(rows.per_horizon))
    table = None if bias is None else bias.detach().expand(len(horizons), -1).contiguous()

    def find(chunk: Chunk, low: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        target = rows.target[chunk.span]
        return *softmax_(low, table, horizon[chunk.span], target, smoothing, wants_gradient), low

    return find


def _softmax_(p: Tensor, target: Tensor, label_smoothing: float) -> tuple[Tensor, Tensor, Tensor]:
    """Turn logits (rows, C) into probabilities in place; return smoothed and plain cross-entropy and the best class."""
    largest, best = p.max(dim=1, keepdim=True)
    nll = largest - p.gather(1, target)
    uniform = largest - p.mean(dim=1, keepdim=True) if label_smoothing else nll
    torch.softmax(p, dim=1, out=p)
    # The largest probability is at least 1 / C, so its log is as accurate as the log of the sum of exponentials.
    log_largest = p.gather(1, best).log()
    nll, uniform = nll - log_largest, uniform - log_largest
    objective = (1 - label_smoothing) * nll + label_smoothing * uniform
    return objective[:, 0], nll[:, 0], best[:, 0]

"""The softmax of a chunk of logits and its gradient in two reads and one write, as a Triton kernel.

The operations of torch read and write a chunk about ten times and need it in float32 beside the dtype of the products.
Imported on CUDA only, because triton comes with torch there.
"""

from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor

_LOWEST = tl.constexpr(-3.0e38)
_MOST_COLUMNS = 4096  # read at once


@triton.jit  # type: ignore[untyped-decorator]
def _softmax(  # type: ignore[no-untyped-def]
    logits, bias, bias_row, target, objective, nll, best, smoothing,
    C: tl.constexpr, has_bias: tl.constexpr, wants_gradient: tl.constexpr, block: tl.constexpr,
) -> None:  # fmt: skip
    row = tl.program_id(0)
    logits += row.to(tl.int64) * C
    if has_bias:
        bias += tl.load(bias_row + row) * C
    largest, total, where, sum_of_all = _LOWEST + 0.0, 0.0, row * 0, 0.0
    for start in range(0, C, block):
        column = start + tl.arange(0, block)
        x = tl.load(logits + column, mask=column < C, other=float("-inf")).to(tl.float32)
        if has_bias:
            x += tl.load(bias + column, mask=column < C, other=0.0).to(tl.float32)
        of_block = tl.max(x, 0)
        where = tl.where(of_block > largest, start + tl.argmax(x, 0), where)
        known = tl.maximum(largest, of_block)
        total = total * tl.exp(largest - known) + tl.sum(tl.exp(x - known), 0)
        sum_of_all += tl.sum(tl.where(column < C, x, 0.0), 0)
        largest = known
    own = tl.load(target + row)
    of_target = tl.load(logits + own).to(tl.float32)
    if has_bias:
        of_target += tl.load(bias + own).to(tl.float32)
    log_sum = largest + tl.log(total)
    tl.store(nll + row, log_sum - of_target)
    tl.store(objective + row, log_sum - (1 - smoothing) * of_target - smoothing * sum_of_all / C)
    tl.store(best + row, where)
    if wants_gradient:
        for start in range(0, C, block):
            column = start + tl.arange(0, block)
            x = tl.load(logits + column, mask=column < C, other=0.0).to(tl.float32)
            if has_bias:
                x += tl.load(bias + column, mask=column < C, other=0.0).to(tl.float32)
            error = tl.exp(x - log_sum) - tl.where(column == own, 1 - smoothing, 0.0) - smoothing / C
            tl.store(logits + column, error.to(logits.dtype.element_ty), mask=column < C)


def softmax_(
    logits: Tensor, bias: Tensor | None, bias_row: Tensor, target: Tensor, smoothing: float, wants_gradient: bool
) -> tuple[Tensor, Tensor, Tensor]:
    """Smoothed and plain cross-entropy (R,) and the best class (R,) of logits (R, C), computed in float32.

    The logits become softmax - smoothed target, if that is wanted.

    Args:
        bias: (H, C), added to the logits.
        bias_row: (R,) long, the row of the bias that belongs to each row.
        target: (R,) long.
    """
    rows, num_classes = logits.shape
    objective, nll = (torch.empty(rows, dtype=torch.float32, device=logits.device) for _ in range(2))
    best = torch.empty_like(target)
    block = min(_MOST_COLUMNS, triton.next_power_of_2(num_classes))
    arguments: list[Any] = [logits, bias, bias_row, target, objective, nll, best, smoothing]
    if rows:
        _softmax[(rows,)](*arguments, num_classes, bias is not None, wants_gradient, block, num_warps=8)
    return objective, nll, best

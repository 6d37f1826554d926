"""Attention over long sequences: one sequence at a time, over its valid keys only, in blocks of queries."""

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function
from torch.autograd.function import once_differentiable

from emprot_core.kernels.onednn import product
from emprot_core.registry import register

from .blockwise import (
    LOG2_E,
    ScoreBias,
    block_of,
    elementwise_dtype,
    four_dimensional,
    has_key,
    softmax_,
    token_major,
    without_autocast,
)

_SCORES_PER_BLOCK = 1 << 20
"""4 MB in float32. More is not faster, and less makes the products small."""


@register("attention")
def packed(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None = None, bias: Tensor | None = None) -> Tensor:
    """Same arguments and results as `einsum`; made for hundreds of keys or more, some of them masked, on a CPU.

    Keys that no query may see are left out, unless there is a bias for each key. The backward pass recomputes the
    scores (Dao et al. 2022, "FlashAttention", algorithm 4), so memory grows with the number of tokens, not its square.
    Forward and backward are written by hand. It is not differentiable twice, and torch.compile breaks the graph here.
    On an accelerator, selecting the keys waits for the device.
    """
    return _Packed.apply(q, k.to(q.dtype), v.to(q.dtype), four_dimensional(mask), four_dimensional(bias))


class _Packed(Function):
    @staticmethod
    @without_autocast
    def forward(ctx: Any, q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None, bias: Tensor | None) -> Tensor:
        out = token_major(q, q.shape[2])
        log2_sums = q.new_empty(*q.shape[:3], 1, dtype=elementwise_dtype(q.dtype))
        for sequence in range(q.shape[0]):
            keys = _Keys(sequence, k, v, mask, bias, log2_sums.dtype)
            for head, rows in _blocks(q, keys.count):
                scores = keys.scores(q[sequence, head, rows], head, rows)
                total, log2_sum = softmax_(scores)
                share = total.reciprocal_() if mask is None else has_key(log2_sum) / total
                mixed = product(scores.to(q.dtype), keys.values[head])
                out[sequence, head, rows] = mixed.mul_(share)
                log2_sums[sequence, head, rows] = log2_sum
            if not keys.count:
                out[sequence] = 0
        ctx.save_for_backward(q, k, v, out, log2_sums, mask, bias)
        return out

    @staticmethod
    @once_differentiable
    @without_autocast
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:  # type: ignore[override]
        q, k, v, out, log2_sums, mask, bias = ctx.saved_tensors
        dtype, scale = log2_sums.dtype, q.shape[-1] ** -0.5
        grad_q, grad_k, grad_v = token_major(q, q.shape[2]), token_major(k, k.shape[2]), token_major(k, k.shape[2])
        grad_bias = torch.zeros_like(bias, dtype=dtype) if ctx.needs_input_grad[4] else None
        for sequence in range(q.shape[0]):
            keys = _Keys(sequence, k, v, mask, bias, dtype)
            # The gradients of keys and values, transposed, summed over the blocks of queries.
            sums = q.new_zeros(2, q.shape[1], q.shape[-1], keys.count, dtype=dtype)
            for head, rows in _blocks(q, keys.count):
                queries, grads = q[sequence, head, rows], grad[sequence, head, rows].contiguous()
                log2_sum = log2_sums[sequence, head, rows]
                weights = keys.scores(queries, head, rows).sub_(log2_sum).exp2_()
                if mask is not None:
                    weights.mul_(has_key(log2_sum))
                grad_scores = product(grads, keys.values[head].T).to(dtype)
                sums[1, head] += product(grads.T.contiguous(), weights.to(q.dtype))
                mean = (grads.to(dtype) * out[sequence, head, rows]).sum(dim=-1, keepdim=True)
                grad_scores.sub_(mean).mul_(weights)
                if grad_bias is not None:
                    target = block_of(grad_bias, *_where(sequence, head, rows))
                    target.add_(grad_scores[None, None].sum_to_size(target.shape))
                grad_scores = grad_scores.to(q.dtype)
                grad_q[sequence, head, rows] = product(grad_scores, keys.keys[head]).mul_(scale)
                sums[0, head] += product(queries.T.contiguous(), grad_scores)
            keys.put(grad_k, sums[0].mul_(scale))
            keys.put(grad_v, sums[1])
            if not keys.count:
                grad_q[sequence] = 0
        return grad_q, grad_k, grad_v, None, None if grad_bias is None else grad_bias.to(bias.dtype)


class _Keys:
    """The keys and values (heads, count, d) of one sequence that some query may see."""

    def __init__(
        self, sequence: int, k: Tensor, v: Tensor, mask: Tensor | None, bias: Tensor | None, dtype: torch.dtype
    ):
        self.sequence = sequence
        self.indices: Tensor | None = None
        keys, values = (x[sequence].transpose(0, 1) for x in (k, v))
        here = slice(sequence, sequence + 1)
        mask, bias = (None if x is None else block_of(x, here, slice(None), slice(None)) for x in (mask, bias))
        if mask is not None and mask.shape[-1] > 1 and (bias is None or bias.shape[-1] == 1):
            self.indices = mask.flatten(0, 2).any(dim=0).nonzero()[:, 0]
            keys, values = (x.index_select(0, self.indices) for x in (keys, values))
            by_query = mask.shape[1] > 1 or mask.shape[2] > 1
            mask = mask.index_select(-1, self.indices) if by_query else None
        self.keys, self.values = (x.transpose(0, 1).contiguous() for x in (keys, values))
        self.count = self.keys.shape[1]
        self.score_bias = ScoreBias.of(mask, bias, dtype)
        self.dtype = dtype

    def scores(self, queries: Tensor, head: int, rows: slice) -> Tensor:
        """The scores (rows, count) of queries (rows, d), with bias and mask, in units of log 2."""
        scores = product(queries, self.keys[head].T).to(self.dtype).mul_(queries.shape[-1] ** -0.5 * LOG2_E)
        self.score_bias.block(*_where(0, head, rows)).add_to_(scores[None, None])
        return scores

    def put(self, target: Tensor, sums: Tensor) -> None:
        """Write sums (heads, d, count) to target[sequence] (heads, keys, d), and zeros for keys that were left out."""
        rows = sums.to(target.dtype).permute(2, 0, 1).contiguous()
        tokens = target[self.sequence].transpose(0, 1)
        if self.indices is None:
            tokens.copy_(rows)
        else:
            tokens.zero_().index_copy_(0, self.indices, rows)


def _where(sequence: int, head: int, rows: slice) -> tuple[slice, slice, slice]:
    return slice(sequence, sequence + 1), slice(head, head + 1), rows


def _blocks(q: Tensor, num_keys: int) -> Iterator[tuple[int, slice]]:
    """Every head with every block of queries; nothing if there are no keys."""
    if not num_keys:
        return
    num_queries = q.shape[2]
    size = min(num_queries, max(1, _SCORES_PER_BLOCK // num_keys))
    for head in range(q.shape[1]):
        for start in range(0, num_queries, size):
            yield head, slice(start, min(start + size, num_queries))

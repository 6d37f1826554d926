"""Attention over many short sequences, computed for all heads of a group of them that fits in the cache."""

from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function
from torch.autograd.function import once_differentiable

from emprot_core.registry import register

from .blockwise import (
    LOG2_E,
    ScoreBias,
    elementwise_dtype,
    four_dimensional,
    has_key,
    softmax_,
    token_major,
    without_autocast,
)

_SCORES_PER_GROUP = 1 << 18
"""With this many, a group's queries, keys and values take at most 3 MB. More gains with small heads alone."""
_SAVED_KEYS = 16
"""Up to this many keys, the weights are smaller than the values and are kept; above, backward recomputes them."""


@register("attention")
def grouped(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None = None, bias: Tensor | None = None) -> Tensor:
    """Same arguments and results as `einsum`; made for K <= 64 frames of each of thousands of residues.

    Forward and backward are written by hand. It is not differentiable twice, and torch.compile breaks the graph here.
    """
    return _Grouped.apply(q, k, v, four_dimensional(mask), four_dimensional(bias))


class _Grouped(Function):
    @staticmethod
    @without_autocast
    def forward(ctx: Any, q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None, bias: Tensor | None) -> Tensor:
        batch, heads, num_queries, _ = q.shape
        num_keys = k.shape[2]
        dtype = elementwise_dtype(q.dtype)
        score_bias = ScoreBias.of(mask, bias, dtype)
        out = token_major(q, num_queries)
        keeps_weights = num_keys <= _SAVED_KEYS
        saved = q.new_empty(batch, heads, num_queries, num_keys if keeps_weights else 1, dtype=dtype)
        for group in _groups(q, k):
            queries, keys, values = (_rows(x[group], dtype) for x in (q, k, v))
            scores = _scores(queries, keys, saved[group].flatten(0, 1) if keeps_weights else None)
            shaped = scores.unflatten(0, (-1, heads))
            here = score_bias.block(group)
            here.add_to_(shaped)
            total, log2_sum = softmax_(shaped)
            share = total.reciprocal_() if mask is None else has_key(log2_sum) / total
            if keeps_weights:
                shaped.mul_(share)
                _put(out[group], torch.bmm(scores, values))
            else:
                saved[group] = log2_sum
                _put(out[group], torch.bmm(scores, values), share)
        ctx.save_for_backward(q, k, v, out, saved, mask, bias)
        return out

    @staticmethod
    @once_differentiable
    @without_autocast
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:  # type: ignore[override]
        q, k, v, out, saved, mask, bias = ctx.saved_tensors
        heads, num_keys = q.shape[1], k.shape[2]
        dtype = elementwise_dtype(q.dtype)
        score_bias = ScoreBias.of(mask, bias, dtype)
        grad_q, grad_k, grad_v = token_major(q, q.shape[2]), token_major(k, num_keys), token_major(k, num_keys)
        grad_bias = torch.zeros_like(bias, dtype=dtype) if ctx.needs_input_grad[4] else None
        for group in _groups(q, k):
            here = score_bias.block(group)
            queries, keys, values = (_rows(x[group], dtype) for x in (q, k, v))
            grads = _rows(grad[group], dtype)
            if num_keys <= _SAVED_KEYS:
                weights = saved[group].flatten(0, 1)
            else:
                weights = _scores(queries, keys, None)
                shaped = weights.unflatten(0, (-1, heads))
                here.add_to_(shaped)
                shaped.sub_(saved[group]).exp2_()
                if mask is not None:
                    shaped.mul_(has_key(saved[group]))
            grad_scores = torch.bmm(grads, values.mT)
            _put(grad_v[group], torch.bmm(weights.mT, grads))
            # By the definition of out, sum_k w dw equals the sum over d of grad times out; compute the shorter sum.
            if num_keys <= q.shape[-1]:
                mean = (grad_scores * weights).sum(dim=-1, keepdim=True)
            else:
                mean = (grads * _rows(out[group], dtype)).sum(dim=-1, keepdim=True)
            grad_scores.sub_(mean).mul_(weights)
            if grad_bias is not None:
                rows = grad_bias if bias.shape[0] == 1 else grad_bias[group]
                rows.add_(grad_scores.unflatten(0, (-1, heads)).sum_to_size(rows.shape))
            _put(grad_q[group], torch.bmm(grad_scores, keys), q.shape[-1] ** -0.5)
            _put(grad_k[group], torch.bmm(grad_scores.mT, queries), q.shape[-1] ** -0.5)
        return grad_q, grad_k, grad_v, None, None if grad_bias is None else grad_bias.to(bias.dtype)


def _groups(q: Tensor, k: Tensor) -> list[slice]:
    batch, heads, num_queries, d = q.shape
    num_keys = k.shape[2]
    size = max(1, _SCORES_PER_GROUP // (heads * max(num_queries * num_keys, num_keys * d)))
    return [slice(start, min(start + size, batch)) for start in range(0, batch, size)]


def _rows(x: Tensor, dtype: torch.dtype) -> Tensor:
    """(sequences, heads, tokens, d) -> (sequences x heads, tokens, d), contiguous; not to be changed in place."""
    return x.to(dtype).contiguous().flatten(0, 1)


def _scores(queries: Tensor, keys: Tensor, out: Tensor | None) -> Tensor:
    """q k^T / sqrt(d) in units of log 2."""
    if out is None:
        out = queries.new_empty(queries.shape[0], queries.shape[1], keys.shape[1])
    scale = queries.shape[-1] ** -0.5 * LOG2_E
    return torch.baddbmm(out, queries, keys.mT, beta=0, alpha=scale, out=out)


def _put(target: Tensor, rows: Tensor, scale: Tensor | float | None = None) -> None:
    """Set target (sequences, heads, tokens, d) to scale x rows (sequences x heads, tokens, d)."""
    rows = rows.view(target.shape)
    if scale is None:
        target.copy_(rows)
    elif target.dtype == rows.dtype:
        torch.mul(rows, scale, out=target)
    else:
        target.copy_(rows.mul_(scale))

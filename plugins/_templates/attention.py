"""An attention kernel: a function of queries, keys and values."""

import torch
from torch import Tensor

from emprot_core import register


@register("attention")
def template_attention(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    mask: Tensor | None = None,
    bias: Tensor | None = None,
    dropout: float = 0.0,
) -> Tensor:
    """softmax(q k^T / sqrt(head size)) v over the keys where mask is True; a query without any gives zeros.

    Args:
        q, k, v: (batch, heads, queries or keys, head size).
        mask, bias: broadcast to (batch, heads, queries, keys).
    """
    scores = q @ k.transpose(-1, -2) / q.shape[-1] ** 0.5
    if bias is not None:
        scores = scores + bias
    if mask is not None:
        scores = scores.masked_fill(~mask, float("-inf"))
    weights = torch.nan_to_num(scores.softmax(dim=-1))
    if dropout:
        weights = torch.nn.functional.dropout(weights, dropout)
    return weights @ v

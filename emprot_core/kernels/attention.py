"""Scaled dot-product attention (Vaswani et al. 2017, eq. 1), once as its formula and once as torch's kernel."""

import torch
import torch.nn.functional as F
from einops import einsum as contract
from torch import Tensor


def einsum(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None = None, bias: Tensor | None = None) -> Tensor:
    """The readable reference: softmax(q k^T / sqrt(d) + bias) v over the keys that `mask` allows.

    Args:
        q: (batch, heads, queries, d).
        k, v: (batch, heads, keys, d).
        mask: bool, broadcasts to (batch, heads, queries, keys). A query without any allowed key gives zeros.
        bias: added to the scores; broadcasts like `mask`.
    """
    scores = contract(q, k, "b h q d, b h k d -> b h q k") * q.shape[-1] ** -0.5
    if bias is not None:
        scores = scores + bias
    if mask is None:
        weights = scores.softmax(dim=-1)
    else:
        # Use the smallest finite number, not -inf: it would make a row without keys, and its gradient, NaN.
        weights = scores.masked_fill(~mask, torch.finfo(scores.dtype).min).softmax(dim=-1).masked_fill(~mask, 0.0)
    return contract(weights.to(v.dtype), v, "b h q k, b h k d -> b h q d")


def sdpa(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None = None, bias: Tensor | None = None) -> Tensor:
    """torch's fused scaled_dot_product_attention. Arguments and results are those of `einsum`; it needs less memory."""
    if mask is None:
        return F.scaled_dot_product_attention(q, k, v, attn_mask=bias)
    # Let a query without allowed keys see all keys, then zero its result: backends differ in what they give for it.
    has_key = mask.any(dim=-1, keepdim=True)
    allowed = mask | ~has_key
    if bias is not None:
        allowed = torch.where(allowed, bias.to(q.dtype), float("-inf"))
    return F.scaled_dot_product_attention(q, k, v, attn_mask=allowed) * has_key

"""Scaled dot-product attention (Vaswani et al. 2017, eq. 1), once as its formula and once as torch's kernel."""

import torch
import torch.nn.functional as F
from einops import einsum as contract
from torch import Tensor


def einsum(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None = None, bias: Tensor | None = None) -> Tensor:
    """The readable reference: softmax(q k^T / sqrt(d) + bias) v over the keys that `mask` allows.

    Args:
        q: (batch, heads, queries, d). k, v: (batch, heads, keys, d).
        mask: bool, broadcasts to (batch, heads, queries, keys); a query without any allowed key gives zeros.
        bias: added to the scores, broadcasts likewise.
    """
    scores = contract(q, k, "b h q d, b h k d -> b h q k") * q.shape[-1] ** -0.5
    if bias is not None:
        scores = scores + bias
    if mask is None:
        weights = scores.softmax(dim=-1)
    else:
        # The smallest finite number, not -inf: a row without keys would be NaN, and so would its gradient.
        weights = scores.masked_fill(~mask, torch.finfo(scores.dtype).min).softmax(dim=-1).masked_fill(~mask, 0.0)
    return contract(weights.to(v.dtype), v, "b h q k, b h k d -> b h q d")


def sdpa(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None = None, bias: Tensor | None = None) -> Tensor:
    """torch's fused scaled_dot_product_attention; the arguments of `einsum`, the same numbers, less memory."""
    if mask is None:
        return F.scaled_dot_product_attention(q, k, v, attn_mask=bias)
    # A query without keys is let see all of them and then zeroed: backends differ in what they give for it.
    has_key = mask.any(dim=-1, keepdim=True)
    allowed = mask | ~has_key
    if bias is not None:
        allowed = torch.where(allowed, bias.to(q.dtype), float("-inf"))
    return F.scaled_dot_product_attention(q, k, v, attn_mask=allowed) * has_key

"""The pre-norm transformer sublayers that every mixing is made of."""

import torch
from einops import rearrange
from torch import Tensor, nn

from emprot_core.breach import broken
from emprot_core.contracts import Attention
from emprot_core.kernels import Linear, linear


class AttentionLayer(nn.Module):
    """Multi-head attention from queries to keys, with its norm and projections: x + dropout(attention(norm(x)))."""

    def __init__(self, d_embed: int, num_heads: int, dropout: float, attention: Attention):
        super().__init__()
        self.num_heads = num_heads
        self.attention = attention
        self.norm = nn.LayerNorm(d_embed)
        self.to_query = Linear(d_embed, d_embed)
        self.to_key_value = Linear(d_embed, 2 * d_embed)
        self.to_output = Linear(d_embed, d_embed)
        self.dropout = nn.Dropout(dropout)

    def forward(self, queries: Tensor, keys: Tensor, mask: Tensor, bias: Tensor | None = None) -> Tensor:
        """queries (batch, q, D), keys (batch, k, D), mask bool, broadcast to (batch, q, k) -> (batch, q, D)."""
        q, k, v = (rearrange(x, "b t (h d) -> b h t d", h=self.num_heads) for x in self._project(queries, keys))
        mixed = self.attention(q, k, v, mask=rearrange(mask, "b q k -> b 1 q k"), bias=bias)
        if not isinstance(mixed, Tensor) or mixed.shape != q.shape:
            wanted = f"a tensor (batch, heads, queries, head size) = {tuple(q.shape)}"
            raise broken(self.attention, wanted, mixed, "give a row for each query and head, of the width of v")
        return queries + self.dropout(self.to_output(rearrange(mixed, "b h t d -> b t (h d)")))

    def _project(self, queries: Tensor, keys: Tensor) -> tuple[Tensor, ...]:
        if queries is keys:
            weight = torch.cat([self.to_query.weight, self.to_key_value.weight])
            bias = torch.cat([self.to_query.bias, self.to_key_value.bias])
            return linear(self.norm(queries), weight, bias).chunk(3, dim=-1)
        return self.to_query(self.norm(queries)), *self.to_key_value(self.norm(keys)).chunk(2, dim=-1)


class FeedForward(nn.Module):
    """x + dropout(W2 GELU(W1 norm(x))), with a hidden width of 4 D."""

    def __init__(self, d_embed: int, dropout: float):
        super().__init__()
        self.layers = nn.Sequential(
            nn.LayerNorm(d_embed),
            Linear(d_embed, 4 * d_embed),
            nn.GELU(),
            Linear(4 * d_embed, d_embed),
            nn.Dropout(dropout),
        )

    def forward(self, x: Tensor) -> Tensor:
        """(..., D) -> (..., D)."""
        return x + self.layers(x)


class TransformerLayer(nn.Module):
    """Attention, then the feed-forward layer."""

    def __init__(self, d_embed: int, num_heads: int, dropout: float, attention: Attention):
        super().__init__()
        self.attend = AttentionLayer(d_embed, num_heads, dropout, attention)
        self.feed = FeedForward(d_embed, dropout)

    def forward(self, queries: Tensor, keys: Tensor, mask: Tensor, bias: Tensor | None = None) -> Tensor:
        """queries (batch, q, D), keys (batch, k, D), mask bool, broadcast to (batch, q, k) -> (batch, q, D)."""
        return self.feed(self.attend(queries, keys, mask, bias))

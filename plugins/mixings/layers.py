"""The pre-norm transformer sublayers that every mixing is made of."""

import torch
from einops import rearrange
from torch import Tensor, nn

from emprot_core.breach import broken
from emprot_core.contracts import Attention
from emprot_core.kernels import Dropout, Linear, linear


class AttentionLayer(nn.Module):
    """Multi-head attention from queries to keys, with its norm and projections: x + dropout(attention(norm(x))).

    A sequence with one query is computed on a CPU with the heads as queries of the tokens: the kernel then gets one
    head of size D.
    """

    def __init__(self, d_embed: int, num_heads: int, dropout: float, attention: Attention):
        super().__init__()
        self.num_heads = num_heads
        self.attention = attention
        self.norm = nn.LayerNorm(d_embed)
        self.to_query = Linear(d_embed, d_embed)
        self.to_key_value = Linear(d_embed, 2 * d_embed)
        self.to_output = Linear(d_embed, d_embed)
        self.dropout = Dropout(dropout)

    def forward(self, queries: Tensor, keys: Tensor, mask: Tensor, bias: Tensor | None = None) -> Tensor:
        """queries (batch, q, D), keys (batch, k, D), mask bool, broadcast to (batch, q, k) -> (batch, q, D)."""
        if queries.shape[1] == 1 and bias is None and queries.device.type == "cpu":
            mixed = self._mix_for_one_query(queries, keys, mask)
        else:
            q, k, v = (rearrange(x, "b t (h d) -> b h t d", h=self.num_heads) for x in self._project(queries, keys))
            mixed = self._attend(q, k, v, rearrange(mask, "b q k -> b 1 q k"), bias)
            mixed = rearrange(mixed, "b h t d -> b t (h d)")
        return queries + self.dropout(self.to_output(mixed))

    def _project(self, queries: Tensor, keys: Tensor) -> tuple[Tensor, ...]:
        if queries is keys:
            weight = torch.cat([self.to_query.weight, self.to_key_value.weight])
            bias = torch.cat([self.to_query.bias, self.to_key_value.bias])
            return linear(self.norm(queries), weight, bias).chunk(3, dim=-1)
        return self.to_query(self.norm(queries)), *self.to_key_value(self.norm(keys)).chunk(2, dim=-1)

    def _mix_for_one_query(self, queries: Tensor, keys: Tensor, mask: Tensor) -> Tensor:
        """The heads' results (batch, 1, D), without the keys and values of every head, which cost most of the layer.

        q (W_k x + b_k) is (q W_k) x, up to a constant that the softmax does not see, and sum_k w_k (W_v x_k + b_v) is
        W_v (sum_k w_k x_k) + b_v. So the heads are queries of the tokens themselves.
        """
        tokens = self.norm(keys)[:, None]
        key_weight, value_weight = rearrange(self.to_key_value.weight, "(s h d) e -> s h d e", s=2, h=self.num_heads)
        value_bias = rearrange(self.to_key_value.bias, "(s h d) -> s h d", s=2, h=self.num_heads)[1]
        q = rearrange(self.to_query(self.norm(queries)), "b 1 (h d) -> h b d", h=self.num_heads)
        # The kernel divides by the root of the width of its queries, which is D here, and not D / heads.
        q = torch.bmm(q * self.num_heads**0.5, key_weight)
        mixed = self._attend(rearrange(q, "h b e -> b 1 h e"), tokens, tokens, rearrange(mask, "b 1 k -> b 1 1 k"))
        mixed = torch.bmm(rearrange(mixed, "b 1 h e -> h b e"), value_weight.mT)
        mixed = mixed + value_bias[:, None] * mask.any(dim=-1)  # without any key the result is zero
        return rearrange(mixed, "h b d -> b 1 (h d)")

    def _attend(self, q: Tensor, k: Tensor, v: Tensor, mask: Tensor, bias: Tensor | None = None) -> Tensor:
        mixed = self.attention(q, k, v, mask=mask, bias=bias)
        if not isinstance(mixed, Tensor) or mixed.shape != q.shape:
            wanted = f"a tensor (batch, heads, queries, head size) = {tuple(q.shape)}"
            raise broken(self.attention, wanted, mixed, "give a row for each query and head, of the width of v")
        return mixed


class FeedForward(nn.Module):
    """x + dropout(W2 GELU(W1 norm(x))), with a hidden width of 4 D."""

    def __init__(self, d_embed: int, dropout: float):
        super().__init__()
        self.layers = nn.Sequential(
            nn.LayerNorm(d_embed),
            Linear(d_embed, 4 * d_embed),
            nn.GELU(),
            Linear(4 * d_embed, d_embed),
            Dropout(dropout),
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

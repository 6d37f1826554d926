"""The last frame's residues attend to every residue of every frame."""

import torch
from einops import rearrange, repeat
from torch import Tensor, nn

from emprot_core.contracts import Attention
from emprot_core.registry import register

from .layers import TransformerLayer


@register("mixing")
class CrossTemporal:
    """Queries: the N residues of the last frame. Keys: all K x N tokens, in every layer the same.

    Each head has a learnable bias toward the keys of the query's own residue, which are K among K x N. The heads start
    evenly spaced from no bias to own_residue_bias: without any, a residue's own past is hard to find, and on the
    embedded sample the forecast loses to the interpolated baseline; with the same bias in every head, neighbours are.
    """

    def __init__(self, own_residue_bias: float = 12.0):
        """
        Args:
            own_residue_bias: where the bias of the last head starts, nats: a key of the own residue weighs
                exp(bias) times as much as another. At 12 that head starts with the own residue alone.
        """
        self.own_residue_bias = own_residue_bias

    def build(self, d_embed: int, num_heads: int, num_layers: int, dropout: float, attention: Attention) -> nn.Module:
        """The module that does it (contracts.Mixing)."""
        return CrossTemporalMixing(d_embed, num_heads, num_layers, dropout, attention, self.own_residue_bias)


class CrossTemporalMixing(nn.Module):
    """num_layers of cross-attention from the last frame to the tokens of the whole history."""

    def __init__(
        self,
        d_embed: int,
        num_heads: int,
        num_layers: int,
        dropout: float,
        attention: Attention,
        own_residue_bias: float,
    ):
        super().__init__()
        self.layers = nn.ModuleList(TransformerLayer(d_embed, num_heads, dropout, attention) for _ in range(num_layers))
        self.own_residue_bias = nn.Parameter(torch.linspace(0, own_residue_bias, num_heads).repeat(num_layers, 1))
        self.norm = nn.LayerNorm(d_embed)

    def forward(self, x: Tensor, mask: Tensor, state: Tensor | None = None) -> Tensor:
        """Context (B, N, D) of tokens x (B, T, N, D) where mask (B, T, N) is True.

        A state (B, N, D), the context of earlier frames, is read as one more frame before the first: a summary,
        so chunks of a history give less than the whole. It is read where the residue is seen in this chunk, as a
        residue that is never seen may be padding.
        """
        if state is not None:
            x = torch.cat([state[:, None], x], dim=1)
            mask = torch.cat([mask.any(dim=1, keepdim=True), mask], dim=1)
        _, num_frames, num_residues, _ = x.shape
        own_residue = repeat(torch.eye(num_residues, dtype=x.dtype, device=x.device), "q n -> q (t n)", t=num_frames)
        tokens = rearrange(x, "b t n d -> b (t n) d")
        keys = rearrange(mask, "b t n -> b 1 (t n)")
        queries = x[:, -1]
        for layer, strength in zip(self.layers, self.own_residue_bias, strict=True):
            queries = layer(queries, tokens, keys, bias=rearrange(strength, "h -> 1 h 1 1") * own_residue)
        return self.norm(queries)

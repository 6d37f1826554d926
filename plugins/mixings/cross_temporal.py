"""The last frame's residues attend to every residue of every frame."""

import torch
from einops import rearrange, repeat
from torch import Tensor, nn

from emprot_core.contracts import Attention
from emprot_core.registry import register

from .layers import TransformerLayer


@register("mixing")
class CrossTemporal:
    """The N residues of the last frame attend to all K x N tokens of the history, which no layer changes.

    Each head has a learnable bias toward the K keys of the query's own residue. The biases of the heads start evenly
    spaced from 0 to own_residue_bias. Without a bias, a residue's own past is hard to find among K x N keys, and on
    the embedded sample the forecast loses to the interpolated baseline. With the same bias in every head, neighbours
    are hard to find.
    """

    def __init__(self, own_residue_bias: float = 12.0):
        """
        Args:
            own_residue_bias: initial bias of the last head, in nats: a key of the own residue weighs exp(bias) times
                as much as another key. At 12 that head starts by attending to the own residue alone.
        """
        self.own_residue_bias = own_residue_bias

    def build(self, d_embed: int, num_heads: int, num_layers: int, dropout: float, attention: Attention) -> nn.Module:
        """The module that computes this mixing (contracts.Mixing)."""
        return CrossTemporalMixing(d_embed, num_heads, num_layers, dropout, attention, self.own_residue_bias)


class CrossTemporalMixing(nn.Module):
    """num_layers layers of cross-attention from the last frame to the tokens of the whole history."""

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
        """The context (B, N, D) of the tokens x (B, T, N, D) at which mask (B, T, N) is True.

        A state (B, N, D) is the context of earlier frames and is read as one more frame before the first. It only
        summarises those frames, so a history read in chunks gives less than one read as a whole. The state of a
        residue is seen only if it has an ID in this chunk: a residue without any may be padding.
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

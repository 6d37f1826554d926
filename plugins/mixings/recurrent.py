"""A gated recurrence over each residue's own frames, which can read a history in chunks without loss."""

import torch
from einops import rearrange
from torch import Tensor, nn

from emprot_core.contracts import Attention
from emprot_core.registry import register

from .layers import FeedForward


@register("mixing")
class Recurrent:
    """A GRU (Cho et al. 2014) over each residue's own frames; its state holds all it knows of the past.

    It can therefore read a trajectory of any length chunk by chunk: a chunk, together with the state after the
    previous chunk, gives exactly what the whole history gives. For this, tokens must not encode how far they are from
    the last frame (ProteinTransformerClassificationOnly.max_history = 0). Residues do not see each other.
    """

    def build(self, d_embed: int, num_heads: int, num_layers: int, dropout: float, attention: Attention) -> nn.Module:
        """The module that computes this mixing (contracts.Mixing); it has no heads and no attention."""
        return RecurrentMixing(d_embed, num_layers, dropout)


class RecurrentMixing(nn.Module):
    """num_layers feed-forward layers on each token, then h_t = GRU(token_t, h_{t-1}); the context is the last h."""

    def __init__(self, d_embed: int, num_layers: int, dropout: float):
        super().__init__()
        self.feed = nn.Sequential(*(FeedForward(d_embed, dropout) for _ in range(num_layers)))
        self.norm = nn.LayerNorm(d_embed)
        self.cell = nn.GRUCell(d_embed, d_embed)

    def forward(self, x: Tensor, mask: Tensor, state: Tensor | None = None) -> Tensor:
        """The context (B, N, D) of the tokens x (B, T, N, D) at which mask (B, T, N) is True.

        The state (B, N, D) is the context of earlier frames; None means zeros.
        """
        tokens = rearrange(self.norm(self.feed(x)), "b t n d -> t (b n) d")
        visible = rearrange(mask, "b t n -> t (b n) 1")
        h = torch.zeros_like(tokens[0]) if state is None else rearrange(state, "b n d -> (b n) d")
        for token, is_visible in zip(tokens, visible, strict=True):
            h = torch.where(is_visible, self.cell(token, h), h)
        return rearrange(h, "(b n) d -> b n d", b=x.shape[0])

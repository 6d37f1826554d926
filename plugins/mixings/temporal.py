"""Attention over each residue's own frames; residues do not see each other."""

import torch
from einops import rearrange
from torch import Tensor, nn

from emprot_core.contracts import Attention
from emprot_core.registry import register

from .layers import AttentionLayer, FeedForward


@register("mixing")
class Temporal:
    """Each residue attends to its own K frames; the context is read at the last one.

    It is the cheapest pattern and the one to start with: on a few hundred frames of one protein, neighbouring residues
    brought no gain.
    """

    def build(self, d_embed: int, num_heads: int, num_layers: int, dropout: float, attention: Attention) -> nn.Module:
        """The module that computes this mixing (contracts.Mixing)."""
        return TemporalMixing(d_embed, num_heads, num_layers, dropout, attention)


class TemporalMixing(nn.Module):
    """Pre-norm layers over the frames of a residue. The last layer computes only the last frame."""

    def __init__(self, d_embed: int, num_heads: int, num_layers: int, dropout: float, attention: Attention):
        super().__init__()
        self.attend = nn.ModuleList(AttentionLayer(d_embed, num_heads, dropout, attention) for _ in range(num_layers))
        self.feed = nn.ModuleList(FeedForward(d_embed, dropout) for _ in range(num_layers))
        self.norm = nn.LayerNorm(d_embed)

    def forward(self, x: Tensor, mask: Tensor, state: Tensor | None = None) -> Tensor:
        """The context (B, N, D) of the tokens x (B, T, N, D) at which mask (B, T, N) is True.

        A state (B, N, D) is the context of earlier frames and is read as one more frame before the first. It only
        summarises those frames, so a history read in chunks gives less than one read as a whole.
        """
        num_windows, _, num_residues, _ = x.shape
        if state is not None:
            x = torch.cat([state[:, None], x], dim=1)
            mask = torch.cat([mask.new_ones(num_windows, 1, num_residues), mask], dim=1)
        frames = rearrange(x, "b t n d -> (b n) t d")
        keys = rearrange(mask, "b t n -> (b n) 1 t")
        last = len(self.attend) - 1
        for layer, (attend, feed) in enumerate(zip(self.attend, self.feed, strict=True)):
            queries = frames[:, -1:] if layer == last else frames
            frames = feed(attend(queries, frames, keys))
        return rearrange(self.norm(frames[:, -1]), "(b n) d -> b n d", n=num_residues)

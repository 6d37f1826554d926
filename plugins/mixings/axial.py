"""Attention along one axis at a time: over a residue's frames, then over a frame's residues."""

import torch
from einops import rearrange
from torch import Tensor, nn

from emprot_core.contracts import Attention
from emprot_core.registry import register

from .layers import TransformerLayer


@register("mixing")
class Axial:
    """Each layer attends over a residue's K frames and then over a frame's N residues.

    A token attends to K + N keys instead of K x N (Ho et al. 2019, "Axial attention in multidimensional
    transformers"). It is the cheap way to let residues see each other. One layer has two attentions.
    """

    def build(self, d_embed: int, num_heads: int, num_layers: int, dropout: float, attention: Attention) -> nn.Module:
        """The module that computes this mixing (contracts.Mixing)."""
        return AxialMixing(d_embed, num_heads, num_layers, dropout, attention)


class AxialMixing(nn.Module):
    """num_layers pairs of attention, over frames and then over residues; the last pair computes one frame only."""

    def __init__(self, d_embed: int, num_heads: int, num_layers: int, dropout: float, attention: Attention):
        super().__init__()

        def layers() -> nn.ModuleList:
            return nn.ModuleList(TransformerLayer(d_embed, num_heads, dropout, attention) for _ in range(num_layers))

        self.over_frames = layers()
        self.over_residues = layers()
        self.norm = nn.LayerNorm(d_embed)

    def forward(self, x: Tensor, mask: Tensor, state: Tensor | None = None) -> Tensor:
        """The context (B, N, D) of the tokens x (B, T, N, D) at which mask (B, T, N) is True.

        A state (B, N, D) is the context of earlier frames and is read as one more frame before the first. It only
        summarises those frames, so a history read in chunks gives less than one read as a whole. Other residues see
        the state of a residue only if it has an ID in this chunk: a residue without any may be padding.
        """
        seen_by_itself = seen_by_others = mask
        if state is not None:
            x = torch.cat([state[:, None], x], dim=1)
            seen_by_itself = torch.cat([torch.ones_like(mask[:, :1]), mask], dim=1)
            seen_by_others = torch.cat([mask.any(dim=1, keepdim=True), mask], dim=1)
        num_windows, _, num_residues, _ = x.shape
        for over_frames, over_residues in zip(self.over_frames, self.over_residues, strict=True):
            residues = rearrange(x, "b t n d -> (b n) t d")
            queries = residues[:, -1:] if over_frames is self.over_frames[-1] else residues
            residues = over_frames(queries, residues, rearrange(seen_by_itself, "b t n -> (b n) 1 t"))

            frames = rearrange(residues, "(b n) t d -> (b t) n d", n=num_residues)
            seen = seen_by_others[:, -residues.shape[1] :]
            frames = over_residues(frames, frames, rearrange(seen, "b t n -> (b t) 1 n"))
            x = rearrange(frames, "(b t) n d -> b t n d", b=num_windows)
        return self.norm(x[:, -1])

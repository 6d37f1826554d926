"""A mixing: how the frames and residues of a history see each other."""

from torch import Tensor, nn

from emprot_core import register
from emprot_core.contracts import Attention


@register("mixing")
class TemplateMixing:
    """The mean of a residue's own frames, through a small network."""

    def build(self, d_embed: int, num_heads: int, num_layers: int, dropout: float, attention: Attention) -> nn.Module:
        """The module; the model calls this with its own sizes."""
        return MeanOfFrames(d_embed, dropout)


class MeanOfFrames(nn.Module):
    """Maps tokens (B, T, N, D) to a context (B, N, D)."""

    def __init__(self, d_embed: int, dropout: float):
        super().__init__()
        self.network = nn.Sequential(nn.Linear(d_embed, d_embed), nn.GELU(), nn.Dropout(dropout))

    def forward(self, x: Tensor, mask: Tensor, state: Tensor | None = None) -> Tensor:
        """
        Args:
            mask: (B, T, N) bool; frames where it is False are left out.
            state: (B, N, D), the context of earlier frames, or None.
        """
        weights = mask.to(x.dtype)[..., None]
        mean: Tensor = (x * weights).sum(dim=1) / weights.sum(dim=1).clamp_min(1)
        context: Tensor = mean + self.network(mean)
        return context if state is None else context + state

"""An expert: a forecast from the past of a residue, which GatedExperts mixes with others."""

import torch

from emprot_core import register
from emprot_core.contracts import Opinion, Past


@register("expert")
class TemplateExpert:
    """How often a residue had each class in its past; the gates know how often it had the last one."""

    shares = (0.2,)  # the weight that its one part begins with
    num_statistics = 1

    def __call__(self, past: Past) -> Opinion:
        """One part, on the classes of the past: (B, 1, N, 1, K)."""
        known = (past.ids >= 0).to(past.ages.dtype)[..., None]  # (B, N, T, 1)
        counts = past.on_slots(known)[..., 0]  # (B, N, K)
        shares = counts / counts.sum(dim=-1, keepdim=True).clamp_min(torch.finfo(counts.dtype).tiny)
        statistics = past.at_last(shares)[:, None, :, None]  # (B, 1, N, 1)
        return Opinion(statistics, on_slots=shares[:, None, :, None, :])

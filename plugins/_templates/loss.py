"""A loss: cross-entropy in which the first future frames count most."""

from typing import Literal

import torch
from torch.nn.functional import cross_entropy

from emprot_core import register
from emprot_core.batch import Batch, target_mask
from emprot_core.contracts import LossTerms, Outputs, TokenScores


@register("loss")
class TemplateLoss:
    """Cross-entropy whose weight falls by a factor from one future frame to the next."""

    inputs: Literal["logits"] = "logits"

    def __init__(self, decay: float = 0.9):
        """
        Args:
            decay: the factor; 1 weighs all frames alike.
        """
        self.decay = decay

    def __call__(self, outputs: Outputs, batch: Batch) -> LossTerms:
        """The sum, how much it weighs, and the plain NLL of every target (B, F, N)."""
        logits, mask = outputs["cluster_logits"].float(), target_mask(batch)  # (B, F, N, C) and (B, F, N)
        targets = batch["future_cluster_ids"].clamp_min(0)
        nll = cross_entropy(logits.movedim(-1, 1), targets, reduction="none") * mask
        steps = torch.arange(mask.shape[1], device=mask.device)
        weights = (self.decay**steps)[:, None] * mask
        scores = TokenScores(mask, nll.detach(), logits.argmax(dim=-1))
        return LossTerms((nll * weights).sum(), weights.sum(), scores)

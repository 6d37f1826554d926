"""Accuracy and negative log-likelihood over the positions whose target counts."""

import torch
from torch import Tensor

from emprot_core.batch import Batch
from emprot_core.contracts import Outputs, TokenScores
from emprot_core.registry import register


@register("metric")
class TokenAccuracy:
    """Top-1 accuracy over all horizons."""

    name = "token_accuracy"
    every_step = True

    def __call__(self, outputs: Outputs, batch: Batch, scores: TokenScores) -> tuple[Tensor, Tensor]:
        """The number of correct positions and the number of positions, both ()."""
        right = (scores.predicted == batch["future_cluster_ids"]) & scores.mask
        return right.sum(), scores.mask.sum()


@register("metric")
class HorizonAccuracy:
    """Top-1 accuracy of each future step; validation only."""

    name = "accuracy"
    every_step = False

    def __call__(self, outputs: Outputs, batch: Batch, scores: TokenScores) -> tuple[Tensor, Tensor]:
        """The numbers of correct positions and of positions per horizon, both (F,)."""
        right = (scores.predicted == batch["future_cluster_ids"]) & scores.mask
        return right.sum(dim=(0, 2)), scores.mask.sum(dim=(0, 2))


@register("metric")
class HorizonNLL:
    """Negative log-likelihood of each future step in bits; validation only."""

    name = "nll_bits"
    every_step = False

    def __call__(self, outputs: Outputs, batch: Batch, scores: TokenScores) -> tuple[Tensor, Tensor]:
        """The sums of bits and the numbers of positions per horizon, both (F,)."""
        nats = scores.nll.double().sum(dim=(0, 2))
        return nats / torch.log(nats.new_tensor(2.0)), scores.mask.sum(dim=(0, 2))

"""Measures how far a model is from the exact distribution of a synthetic process."""

import math

import torch
from torch import Tensor

from emprot_core.batch import Batch
from emprot_core.contracts import Outputs, TokenScores
from emprot_core.errors import EmprotError
from emprot_core.registry import register


@register("metric")
class ExactKL:
    """KL(exact || model) at h = 1, bits per residue-step; validation only.

    It is the cross-entropy minus the entropy rate, without the noise of sampled targets. A perfect model reaches 0.
    """

    name = "kl_bits"
    every_step = False

    def __call__(self, outputs: Outputs, batch: Batch, scores: TokenScores) -> tuple[Tensor, Tensor]:
        """The sum of bits over the next frame and its number of positions, both ().

        Raises:
            EmprotError: the batch has no next_distribution (B, N, C), or the loss works without logits.
        """
        if "next_distribution" not in batch:
            raise EmprotError(
                f"metrics.ExactKL needs the exact distribution next_distribution (B, N, C), got a batch with "
                f"{sorted(batch)}; use data.Synthetic, or leave the metric out of Trainer.metrics"
            )
        if "cluster_logits" not in outputs:
            raise EmprotError(
                f"metrics.ExactKL needs cluster_logits (B, F, N, C), got outputs {sorted(outputs)}; "
                "use a loss that reads logits (losses.MaskedCrossEntropy), or leave the metric out of Trainer.metrics"
            )
        exact: Tensor = batch["next_distribution"].double()  # type: ignore[typeddict-item]
        model = outputs["cluster_logits"][:, 0].double().log_softmax(dim=-1)
        nats = (torch.xlogy(exact, exact) - exact * model).sum(dim=-1)
        counted = scores.mask[:, 0]
        return (nats * counted).sum() / math.log(2), counted.sum()

"""How far a model is from the exact distribution of a process that knows it."""

import math

import torch
from torch import Tensor

from emprot_core.batch import Batch
from emprot_core.contracts import Outputs, TokenScores
from emprot_core.registry import register


@register("metric")
class ExactKL:
    """KL(exact || model) at h = 1, bits per residue-step; validation only.

    It is the cross-entropy less the entropy rate, without the noise of the drawn targets: 0 is all there is to learn.
    """

    name = "kl_bits"
    every_step = False

    def __call__(self, outputs: Outputs, batch: Batch, scores: TokenScores) -> tuple[Tensor, Tensor]:
        """Bits and positions of the next frame, ().

        Raises:
            ValueError: the batch has no next_distribution (B, N, C), or the loss works without logits.
        """
        if "next_distribution" not in batch:
            raise ValueError(
                f"metrics.ExactKL needs the exact distribution next_distribution (B, N, C), got a batch with "
                f"{sorted(batch)}; use data.Synthetic, or leave the metric out of Trainer.metrics"
            )
        if "cluster_logits" not in outputs:
            raise ValueError(
                f"metrics.ExactKL needs cluster_logits (B, F, N, C), got outputs {sorted(outputs)}; "
                "use a loss that reads logits (losses.MaskedCrossEntropy), or leave the metric out of Trainer.metrics"
            )
        exact: Tensor = batch["next_distribution"].double()  # type: ignore[typeddict-item]
        model = outputs["cluster_logits"][:, 0].double().log_softmax(dim=-1)
        nats = (torch.xlogy(exact, exact) - exact * model).sum(dim=-1)
        counted = scores.mask[:, 0]
        return (nats * counted).sum() / math.log(2), counted.sum()

"""Cross-entropy that gives less weight to positions the model already predicts well."""

from collections.abc import Sequence
from typing import Literal

from torch import Tensor

from emprot_core.batch import Batch
from emprot_core.contracts import LossTerms, Outputs
from emprot_core.errors import EmprotError
from emprot_core.registry import register

from .positions import PositionWeights, terms_of_logits


@register("loss")
class FocalCrossEntropy:
    """Focal loss (Lin et al. 2017): the sum of w (1 - p)^gamma (-log p), with p = p(target).

    The sum is over the positions whose target counts, w = horizon weight x class weight, and the weight of a batch is
    the sum of w. gamma = 0 is MaskedCrossEntropy. With gamma > 0 the minimum is not at the true distribution, which
    costs likelihood.
    """

    inputs: Literal["logits", "features"] = "logits"

    def __init__(
        self,
        gamma: float = 2.0,
        horizon_weights: Sequence[float] | None = None,
        class_weights: Sequence[float] | None = None,
    ):
        """
        Args:
            gamma: how strongly well-predicted positions are weighted down.
            horizon_weights: F weights, one per future step; 1 by default.
            class_weights: C weights, by the class of the target; 1 by default.

        Raises:
            EmprotError: gamma or a weight is negative.
        """
        if not gamma >= 0:
            raise EmprotError(f"gamma is {gamma}, expected 0 or more")
        self.gamma = gamma
        self.weights = PositionWeights(horizon_weights, class_weights)

    def use_class_weights(self, weights: Tensor) -> None:
        """Use (C,) class weights that were computed from the data."""
        self.weights.use_class_weights(weights)

    def __call__(self, outputs: Outputs, batch: Batch) -> LossTerms:
        """The loss of cluster_logits (B, F, N, C), in nats, computed in float32 or better."""
        return terms_of_logits(outputs, batch, self.weights, self._objective)

    def _objective(self, nll: Tensor, logits: Tensor) -> Tensor:
        # expm1 keeps 1 - p accurate near p = 1. The floor keeps the gradient finite at p = 1 if gamma is below 1.
        doubt = (-(-nll).expm1()).clamp_min(1e-12)
        return doubt**self.gamma * nll

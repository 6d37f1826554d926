"""Cross-entropy that turns away from positions the model already knows."""

from collections.abc import Sequence
from typing import Literal

from torch import Tensor

from emprot_core.batch import Batch
from emprot_core.contracts import LossTerms, Outputs
from emprot_core.registry import register

from .positions import PositionWeights, terms_of_logits


@register("loss")
class FocalCrossEntropy:
    """Sum over M of w (1 - p)^gamma (-log p), p = p(target), with weight the sum of w (Lin et al. 2017).

    w = horizon weight x class weight. gamma = 0 is MaskedCrossEntropy; above it the minimum is not at the true
    distribution, which costs likelihood.
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
            gamma: how much a position counts less the better it is known.
            horizon_weights: F weights, one per future step; 1 by default.
            class_weights: C weights, by the class of the target; 1 by default.

        Raises:
            ValueError: gamma or a weight is negative.
        """
        if not gamma >= 0:
            raise ValueError(f"gamma is {gamma}, expected 0 or more")
        self.gamma = gamma
        self.weights = PositionWeights(horizon_weights, class_weights)

    def use_class_weights(self, weights: Tensor) -> None:
        """Take (C,) class weights that come from the data."""
        self.weights.use_class_weights(weights)

    def __call__(self, outputs: Outputs, batch: Batch) -> LossTerms:
        """The loss of cluster_logits (B, F, N, C), in nats, computed in float32 or better."""
        return terms_of_logits(outputs, batch, self.weights, self._objective)

    def _objective(self, nll: Tensor, logits: Tensor) -> Tensor:
        # expm1 keeps 1 - p exact near p = 1; the floor keeps the slope of a power below 1 finite at p = 1.
        doubt = (-(-nll).expm1()).clamp_min(1e-12)
        return doubt**self.gamma * nll

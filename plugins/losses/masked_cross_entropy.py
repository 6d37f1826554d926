"""Cross-entropy over the positions whose target is known and counts."""

from collections.abc import Sequence
from typing import Literal

from torch import Tensor

from emprot_core.batch import Batch
from emprot_core.contracts import LossTerms, Outputs
from emprot_core.registry import register

from .positions import PositionWeights, check_smoothing, terms_of_logits


@register("loss")
class MaskedCrossEntropy:
    """The sum of w (-log p(target)) over the positions that count, with w = horizon weight x class weight.

    The weight of a batch is the sum of w.
    """

    inputs: Literal["logits", "features"] = "logits"

    def __init__(
        self,
        label_smoothing: float = 0.0,
        horizon_weights: Sequence[float] | None = None,
        class_weights: Sequence[float] | None = None,
    ):
        """
        Args:
            label_smoothing: epsilon of Szegedy et al. 2016: the target gets 1 - eps, and all classes share eps.
            horizon_weights: F weights, one per future step; 1 by default.
            class_weights: C weights, by the class of the target; 1 by default.

        Raises:
            ValueError: label_smoothing lies outside [0, 1), or a weight is negative.
        """
        self.label_smoothing = check_smoothing(label_smoothing)
        self.weights = PositionWeights(horizon_weights, class_weights)

    def use_class_weights(self, weights: Tensor) -> None:
        """Use (C,) class weights that were computed from the data."""
        self.weights.use_class_weights(weights)

    def __call__(self, outputs: Outputs, batch: Batch) -> LossTerms:
        """The loss of cluster_logits (B, F, N, C), in nats, computed in float32 or better."""
        return terms_of_logits(outputs, batch, self.weights, self._smoothed if self.label_smoothing else None)

    def _smoothed(self, nll: Tensor, logits: Tensor) -> Tensor:
        uniform = logits.logsumexp(dim=-1) - logits.mean(dim=-1)
        return (1 - self.label_smoothing) * nll + self.label_smoothing * uniform

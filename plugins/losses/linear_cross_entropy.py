"""Masked cross-entropy from features and classifier, without all logits in memory at once."""

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor

from emprot_core.batch import Batch
from emprot_core.contracts import LossTerms, Outputs, TokenScores
from emprot_core.errors import EmprotError
from emprot_core.registry import register

from .chunk_softmax import Rows
from .chunked_cross_entropy import chunked_cross_entropy, product_dtype
from .positions import PositionWeights, check_smoothing, masked_targets

MAX_CHUNK_LOGITS, MAX_CHUNK_ROWS = 2**24, 1024
"""The chunk size if chunk_rows is not given. Larger chunks gain nothing in `python -m benchmarks --suite loss`."""
MAX_CHUNK_BYTES_ON_CUDA = 2**28
"""There a chunk costs about .2 ms to start, whatever its size."""


@register("loss")
class LinearCrossEntropy:
    """The same as MaskedCrossEntropy, up to rounding, of logits = features weight^T + bias.

    Positions outside M, whose target does not count, cost nothing. The others are processed chunk by chunk. The
    gradients of features, weight and bias are formed in the forward pass, so memory holds only one chunk of logits and
    the gradients. Under autocast, products use its dtype; softmax and the sums over chunks stay in float32.
    """

    inputs: Literal["logits", "features"] = "features"

    def __init__(
        self,
        label_smoothing: float = 0.0,
        horizon_weights: Sequence[float] | None = None,
        class_weights: Sequence[float] | None = None,
        chunk_rows: int | None = None,
    ):
        """
        Args:
            label_smoothing: epsilon of Szegedy et al. 2016: the target gets 1 - eps, and all classes share eps.
            horizon_weights: F weights, one per future step; 1 by default.
            class_weights: C weights, by the class of the target; 1 by default.
            chunk_rows: positions in a chunk; fewer take less memory and more time. None means 2^24 / C, at most 1024;
                on CUDA as many as take 256 MiB.

        Raises:
            EmprotError: label_smoothing lies outside [0, 1), a weight is negative, or chunk_rows is below 1.
        """
        if chunk_rows is not None and chunk_rows < 1:
            raise EmprotError(f"chunk_rows is {chunk_rows}, expected 1 or more, or None to choose by the vocabulary")
        self.label_smoothing = check_smoothing(label_smoothing)
        self.chunk_rows = chunk_rows
        self.weights = PositionWeights(horizon_weights, class_weights)

    def use_class_weights(self, weights: Tensor) -> None:
        """Use (C,) class weights that were computed from the data."""
        self.weights.use_class_weights(weights)

    def __call__(self, outputs: Outputs, batch: Batch) -> LossTerms:
        """The loss of features (B, F, N, D), weight (C, D) and bias (C,), (F, C) or None; in nats."""
        features, weight, bias = outputs["features"], outputs["weight"], outputs["bias"]
        mask, targets = masked_targets(batch)
        exact = torch.float64 if features.dtype == torch.float64 else torch.float32
        applied = self.weights(mask, targets, len(weight), exact)
        # Order the rows by (F, B, N): the rows of one horizon are then adjacent, and share one row of the bias.
        by_horizon = mask.transpose(0, 1)
        position = torch.arange(mask.numel(), device=mask.device).view_as(mask).transpose(0, 1)[by_horizon]
        rows = Rows(position, targets.flatten()[position], applied.flatten()[position], by_horizon.sum((1, 2)).tolist())
        chunk_rows = self.chunk_rows or _most_rows(len(weight), features)
        loss_sum, nll, predicted = chunked_cross_entropy(features, weight, bias, rows, self.label_smoothing, chunk_rows)
        scores = TokenScores(
            mask,
            nll.new_zeros(mask.numel()).index_copy_(0, position, nll).view_as(mask),
            predicted.new_zeros(mask.numel()).index_copy_(0, position, predicted).view_as(mask),
        )
        return LossTerms(loss_sum, applied.sum(), scores)


def _most_rows(num_classes: int, features: Tensor) -> int:
    """The rows of a chunk."""
    if features.is_cuda:
        return max(1, MAX_CHUNK_BYTES_ON_CUDA // (num_classes * product_dtype(features).itemsize))
    return min(MAX_CHUNK_ROWS, max(1, MAX_CHUNK_LOGITS // num_classes))

"""Cross-entropy over the positions whose target is known and counts."""

from collections.abc import Sequence
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from emprot_core.batch import MISSING_ID, Batch, target_mask
from emprot_core.contracts import LossTerms, Outputs, TokenScores
from emprot_core.registry import register


@register("loss")
class MaskedCrossEntropy:
    """Sum over M of w (-log p(target)), with weight the sum of w, w = horizon weight x class weight."""

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
        if not 0 <= label_smoothing < 1:
            raise ValueError(f"label_smoothing is {label_smoothing}, expected 0 <= label_smoothing < 1")
        self.label_smoothing = label_smoothing
        self.horizon_weights = _weights("horizon_weights", horizon_weights)
        self.class_weights = _weights("class_weights", class_weights)

    def __call__(self, outputs: Outputs, batch: Batch) -> LossTerms:
        """The loss of cluster_logits (B, F, N, C), in nats, computed in float32 or better."""
        logits = outputs["cluster_logits"]
        logits = logits if logits.dtype == torch.float64 else logits.float()
        mask = target_mask(batch)
        targets = torch.where(mask, batch["future_cluster_ids"], MISSING_ID)
        # ignore_index instead of logits[M]: the same numbers without a copy, and without a sync on CUDA.
        nll = F.cross_entropy(logits.flatten(0, 2), targets.flatten(), ignore_index=MISSING_ID, reduction="none")
        nll = nll.view_as(targets)
        weights = mask.to(logits.dtype) * self._position_weights(targets, logits)
        objective = nll
        if self.label_smoothing:
            uniform = logits.logsumexp(dim=-1) - logits.mean(dim=-1)
            objective = (1 - self.label_smoothing) * nll + self.label_smoothing * uniform
        scores = TokenScores(mask, nll.detach(), logits.detach().argmax(dim=-1))
        return LossTerms((weights * objective).sum(), weights.sum(), scores)

    def _position_weights(self, targets: Tensor, logits: Tensor) -> Tensor | float:
        weights: Tensor | float = 1.0
        if self.horizon_weights is not None:
            _check_length("horizon_weights", self.horizon_weights, logits.shape[1], "future steps")
            weights = self.horizon_weights.to(logits)[:, None]
        if self.class_weights is not None:
            _check_length("class_weights", self.class_weights, logits.shape[-1], "clusters")
            weights = weights * self.class_weights.to(logits)[targets.clamp_min(0)]
        return weights


def _weights(name: str, values: Sequence[float] | None) -> Tensor | None:
    if values is None:
        return None
    weights = torch.as_tensor(values, dtype=torch.float64)
    if weights.ndim != 1 or bool((weights < 0).any()) or not bool(weights.isfinite().all()):
        raise ValueError(f"{name} is {values}, expected a list of finite weights of 0 or more")
    return weights


def _check_length(name: str, weights: Tensor, wanted: int, what: str) -> None:
    if len(weights) != wanted:
        raise ValueError(f"{name} has {len(weights)} weights, expected {wanted}: one for each of the {what}")

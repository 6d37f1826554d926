"""What the losses share: the weight of every position, its plain cross-entropy, and the scores of a batch.

M denotes the set of positions whose target counts (batch.target_mask).
"""

from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from emprot_core.batch import MISSING_ID, Batch, target_mask
from emprot_core.contracts import LossTerms, Outputs, TokenScores
from emprot_core.errors import EmprotError

Objective = Callable[[Tensor, Tensor], Tensor]
"""Plain cross-entropy (B, F, N) and logits (B, F, N, C) -> the quantity to minimise, (B, F, N) in nats."""


class PositionWeights:
    """The weight of a position: its horizon weight times its class weight, each 1 by default; 0 outside M."""

    def __init__(self, horizon_weights: Sequence[float] | None, class_weights: Sequence[float] | None):
        """
        Raises:
            EmprotError: a weight is negative or not finite.
        """
        self.of_horizons = _weights("horizon_weights", horizon_weights)
        self.of_classes = _weights("class_weights", class_weights)
        self._classes_are_given = class_weights is not None

    def use_class_weights(self, weights: Tensor) -> None:
        """Set (C,) class weights that were not known yet when the loss was made.

        Raises:
            EmprotError: the loss was made with class weights.
        """
        if self._classes_are_given:
            raise EmprotError("the loss has class_weights of its own; leave them out, or leave the balancing out")
        self.of_classes = weights

    @property
    def are_one(self) -> bool:
        """Whether every position of M weighs 1."""
        return self.of_horizons is None and self.of_classes is None

    def __call__(self, mask: Tensor, targets: Tensor, num_clusters: int, dtype: torch.dtype) -> Tensor:
        """The weights (B, F, N) for a mask and targets, both (B, F, N).

        Raises:
            EmprotError: the number of horizon weights is not F, or the number of class weights is not C.
        """
        weights = mask.to(dtype)
        if self.of_horizons is not None:
            _check_length("horizon_weights", self.of_horizons, mask.shape[1], "future steps")
            self.of_horizons = self.of_horizons.to(mask.device)  # once: copying in every step would wait for CUDA
            weights = weights * self.of_horizons.to(dtype)[:, None]
        if self.of_classes is not None:
            _check_length("class_weights", self.of_classes, num_clusters, "clusters")
            self.of_classes = self.of_classes.to(mask.device)
            weights = weights * self.of_classes.to(dtype)[targets.clamp_min(0)]
        return weights


def masked_targets(batch: Batch) -> tuple[Tensor, Tensor]:
    """The mask of M, and the targets with MISSING_ID outside M, both (B, F, N)."""
    mask = target_mask(batch)
    return mask, torch.where(mask, batch["future_cluster_ids"], MISSING_ID)


def terms_of_logits(
    outputs: Outputs, batch: Batch, weights: PositionWeights, objective: Objective | None = None
) -> LossTerms:
    """The weighted sum of an objective, by default the plain cross-entropy, over cluster_logits (B, F, N, C).

    Computed in float32 or better.
    """
    logits = outputs["cluster_logits"]
    logits = logits if logits.dtype == torch.float64 else logits.float()
    mask, targets = masked_targets(batch)
    # ignore_index gives the same numbers as logits[M], without a copy and without a sync on CUDA.
    nll = F.cross_entropy(logits.flatten(0, 2), targets.flatten(), ignore_index=MISSING_ID, reduction="none")
    nll = nll.view_as(targets)
    scores = TokenScores(mask, nll.detach(), logits.detach().argmax(dim=-1))
    if weights.are_one and objective is None:
        return LossTerms(nll.sum(), mask.sum(dtype=nll.dtype), scores)
    applied = weights(mask, targets, logits.shape[-1], logits.dtype)
    minimised = nll if objective is None else objective(nll, logits)
    return LossTerms((applied * minimised).sum(), applied.sum(), scores)


def check_smoothing(label_smoothing: float) -> float:
    """
    Raises:
        EmprotError: it lies outside [0, 1).
    """
    if not 0 <= label_smoothing < 1:
        raise EmprotError(f"label_smoothing is {label_smoothing}, expected 0 <= label_smoothing < 1")
    return label_smoothing


def _weights(name: str, values: Sequence[float] | None) -> Tensor | None:
    if values is None:
        return None
    weights = torch.as_tensor(values, dtype=torch.float64)
    if weights.ndim != 1 or bool((weights < 0).any()) or not bool(weights.isfinite().all()):
        raise EmprotError(f"{name} is {values}, expected a list of finite weights of 0 or more")
    return weights


def _check_length(name: str, weights: Tensor, wanted: int, what: str) -> None:
    if len(weights) != wanted:
        raise EmprotError(f"{name} has {len(weights)} weights, expected {wanted}: one for each of the {what}")

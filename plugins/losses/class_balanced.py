"""Class weights by the effective number of samples of each class in the training split."""

import math
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor

from emprot_core.batch import Batch
from emprot_core.contracts import Loss, LossTerms, Outputs
from emprot_core.registry import register

from .masked_cross_entropy import MaskedCrossEntropy


@runtime_checkable
class WeighsClasses(Protocol):
    """A loss that can take class weights after it was made."""

    def use_class_weights(self, weights: Tensor) -> None:
        """weights: (C,), 0 or more."""
        ...


@register("loss")
class ClassBalanced:
    """Another loss, each class weighted by (1 - beta) / (1 - beta^n), n its count in training (Cui et al. 2019).

    beta = 0 weighs all classes alike, beta towards 1 by 1 / n. The weights are scaled to a mean of 1 over the
    training targets; a class that is not among them is weighted as one seen once.
    """

    def __init__(self, loss: Loss | None = None, beta: float = 0.999):
        """
        Args:
            loss: MaskedCrossEntropy() by default.

        Raises:
            ValueError: beta lies outside [0, 1), or the loss cannot take class weights.
        """
        loss = loss if loss is not None else MaskedCrossEntropy()
        if not 0 <= beta < 1:
            raise ValueError(f"beta is {beta}, expected 0 <= beta < 1")
        if not isinstance(loss, WeighsClasses):
            raise ValueError(
                f"{type(loss).__name__} has no use_class_weights(weights), expected a loss that can weigh classes, "
                "such as losses.MaskedCrossEntropy; use one of those, or add the method"
            )
        self.inputs = loss.inputs
        self.beta = beta
        self.loss = loss
        self._is_balanced = False

    def use_class_counts(self, counts: Tensor) -> None:
        """Weigh the classes by (C,) counts of the training split.

        Raises:
            ValueError: the loss was made with class weights.
        """
        self.loss.use_class_weights(effective_number_weights(counts, self.beta))
        self._is_balanced = True

    def __call__(self, outputs: Outputs, batch: Batch) -> LossTerms:
        """
        Raises:
            ValueError: the class counts were never given.
        """
        if not self._is_balanced:
            raise ValueError(
                "ClassBalanced has no class counts, expected those of the training split; call "
                "use_class_counts(counts) before training (jobs.Train does)"
            )
        return self.loss(outputs, batch)


def effective_number_weights(counts: Tensor, beta: float) -> Tensor:
    """(C,) long -> (C,) float64 weights whose mean over the counted targets is 1.

    Raises:
        ValueError: no class has a count.
    """
    if not bool((counts > 0).any()):
        raise ValueError(
            "the class counts are all 0, expected at least one target in the training split; check the split"
        )
    seen = counts.double().clamp_min(1)
    # 1 - beta^n by expm1: beta is close to 1.
    weights = (1 - beta) / -torch.expm1(seen * math.log(beta)) if beta else torch.ones_like(seen)
    return weights * (counts.sum() / (weights * counts).sum())

"""Class weights by the effective number of samples of each class in the training split."""

import math
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor

from emprot_core.batch import Batch
from emprot_core.contracts import Loss, LossTerms, Outputs
from emprot_core.errors import EmprotError
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
    """Weighs each class of another loss by (1 - beta) / (1 - beta^n), n its training count (Cui et al. 2019).

    beta = 0 weighs all classes alike; as beta approaches 1, the weights become proportional to 1 / n. They are scaled
    to a mean of 1 over the training targets. A class that never occurs there is weighted as if it occurred once.
    """

    def __init__(self, loss: Loss | None = None, beta: float = 0.999):
        """
        Args:
            loss: the loss to weigh; MaskedCrossEntropy() by default.
            beta: from 0, which weighs all classes alike, to nearly 1, which weighs them by 1 / n.

        Raises:
            EmprotError: beta lies outside [0, 1), or the loss cannot take class weights.
        """
        loss = loss if loss is not None else MaskedCrossEntropy()
        if not 0 <= beta < 1:
            raise EmprotError(f"beta is {beta}, expected 0 <= beta < 1")
        if not isinstance(loss, WeighsClasses):
            raise EmprotError(
                f"{type(loss).__name__} has no use_class_weights(weights), expected a loss that can weigh classes, "
                "such as losses.MaskedCrossEntropy; use one of those, or add the method"
            )
        self.inputs = loss.inputs
        self.beta = beta
        self.loss = loss
        self._is_balanced = False

    def use_class_counts(self, counts: Tensor) -> None:
        """Set the class weights from (C,) counts of the training split.

        Raises:
            EmprotError: the loss was made with class weights.
        """
        self.loss.use_class_weights(effective_number_weights(counts, self.beta))
        self._is_balanced = True

    def __call__(self, outputs: Outputs, batch: Batch) -> LossTerms:
        """
        Raises:
            EmprotError: the class counts were never given.
        """
        if not self._is_balanced:
            raise EmprotError(
                "ClassBalanced has no class counts, expected those of the training split; call "
                "use_class_counts(counts) before training (jobs.Train does)"
            )
        return self.loss(outputs, batch)


def effective_number_weights(counts: Tensor, beta: float) -> Tensor:
    """(C,) long -> (C,) float64 weights whose mean over the counted targets is 1.

    Raises:
        EmprotError: no class has a count.
    """
    if not bool((counts > 0).any()):
        raise EmprotError(
            "the class counts are all 0, expected at least one target in the training split; check the split"
        )
    seen = counts.double().clamp_min(1)
    # expm1 keeps 1 - beta^n accurate where beta is close to 1.
    weights = (1 - beta) / -torch.expm1(seen * math.log(beta)) if beta else torch.ones_like(seen)
    return weights * (counts.sum() / (weights * counts).sum())

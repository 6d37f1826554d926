"""Losses."""

from .class_balanced import ClassBalanced
from .focal_cross_entropy import FocalCrossEntropy
from .linear_cross_entropy import LinearCrossEntropy
from .masked_cross_entropy import MaskedCrossEntropy

__all__ = [
    "ClassBalanced",
    "FocalCrossEntropy",
    "LinearCrossEntropy",
    "MaskedCrossEntropy",
]

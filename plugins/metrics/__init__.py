"""Metrics: what is logged beside the loss."""

from .exact_kl import ExactKL
from .token_metrics import HorizonAccuracy, HorizonNLL, TokenAccuracy

__all__ = [
    "ExactKL",
    "HorizonAccuracy",
    "HorizonNLL",
    "TokenAccuracy",
]

"""Scores: judgements of probabilities on the test split."""

from .calibration import Calibration
from .change_detection import ChangeDetection
from .change_rates import ChangeRates
from .energy_score import EnergyScore
from .stayed_changed import StayedChanged
from .top_k import TopK

__all__ = [
    "Calibration",
    "ChangeDetection",
    "ChangeRates",
    "EnergyScore",
    "StayedChanged",
    "TopK",
]

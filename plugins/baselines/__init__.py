"""Baselines: forecasts without gradient training, which every table shows beside the model."""

from .history import History, HistoryAlike, HistorySite
from .interpolated import Interpolated
from .interpolated_residue import InterpolatedResidue
from .markov import MarkovBaseline
from .occupancy import OccupancyBaseline
from .persistence import Persistence
from .windowed_mode import WindowedMode

__all__ = [
    "History",
    "HistoryAlike",
    "HistorySite",
    "Interpolated",
    "InterpolatedResidue",
    "MarkovBaseline",
    "OccupancyBaseline",
    "Persistence",
    "WindowedMode",
]

"""Optimizers: functions that the trainer calls with the named parameters."""

from .adam import adam, adamw, nadam, radam
from .muon import muon
from .sgd import sgd

__all__ = [
    "adam",
    "adamw",
    "muon",
    "nadam",
    "radam",
    "sgd",
]

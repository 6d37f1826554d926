"""Mixings: how frames and residues of a history see each other."""

from .axial import Axial
from .cross_temporal import CrossTemporal
from .recurrent import Recurrent
from .temporal import Temporal

__all__ = [
    "Axial",
    "CrossTemporal",
    "Recurrent",
    "Temporal",
]

"""Splits: which frames are targets of training, validation and test."""

from .by_group import ByGroup
from .by_time import ByTime
from .leave_out import LeaveOut
from .stored import StoredSplit

__all__ = [
    "ByGroup",
    "ByTime",
    "LeaveOut",
    "StoredSplit",
]

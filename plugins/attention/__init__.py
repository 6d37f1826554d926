"""Attention kernels: functions of queries, keys and values."""

from .dispatch import auto
from .grouped import grouped
from .packed import packed
from .short import short

__all__ = [
    "auto",
    "grouped",
    "packed",
    "short",
]

"""Experts: forecasts that models.GatedExperts mixes."""

from .caches import Caches
from .own_rows import OwnRows
from .pooled_tables import PooledTables
from .window_table import WindowTable

__all__ = [
    "Caches",
    "OwnRows",
    "PooledTables",
    "WindowTable",
]

"""Sweeps: one config, many runs."""

from .sweep import Sweep

__all__ = ["Sweep"]

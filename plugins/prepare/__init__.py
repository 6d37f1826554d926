"""Prepare: the job that makes trajectory stores from the files of simulations."""

from .prepare import Prepare

__all__ = [
    "Prepare",
]

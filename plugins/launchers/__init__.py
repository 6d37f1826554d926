"""Launchers: where the process of a run is started."""

from .local import local
from .slurm import slurm

__all__ = ["local", "slurm"]

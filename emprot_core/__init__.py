"""EMPROT: train, compare and judge forecasters of protein dynamics."""

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from emprot_core.jobs.load import LoadedRun

__version__ = "0.1.0"


def load_run(directory: str | Path) -> "LoadedRun":
    """The model of a run with its best weights, its vocabulary and its config.

    Raises:
        CheckpointError: there is no run, or no readable checkpoint.
    """
    from emprot_core.jobs.load import load_run as load  # torch is imported only when a run is loaded

    return load(directory)

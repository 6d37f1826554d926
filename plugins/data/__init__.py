"""Where the batches of a run come from."""

from .copy_task import CopyTask
from .synthetic import Synthetic
from .trajectory_windows import TrajectoryWindows

__all__ = [
    "CopyTask",
    "Synthetic",
    "TrajectoryWindows",
]

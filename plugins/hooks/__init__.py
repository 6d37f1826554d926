"""Hooks: what is done at the events of a training."""

from .activation_checkpointing import ActivationCheckpointing
from .checkpoint import Checkpoint
from .clip_gradients import ClipGradients
from .compile import Compile
from .early_stopping import EarlyStopping
from .ema import EMA
from .mirror import Mirror
from .mixed_precision import MixedPrecision
from .non_finite import NonFinite
from .preemption import Preemption
from .profiler import Profiler
from .progress import Progress
from .tensorboard import TensorBoard
from .throughput import Throughput
from .tracker import Tracker
from .wandb_run import WandB

__all__ = [
    "EMA",
    "ActivationCheckpointing",
    "Checkpoint",
    "ClipGradients",
    "Compile",
    "EarlyStopping",
    "Mirror",
    "MixedPrecision",
    "NonFinite",
    "Preemption",
    "Profiler",
    "Progress",
    "TensorBoard",
    "Throughput",
    "Tracker",
    "WandB",
]

"""Schedules of the learning rate: functions of the optimizer and the number of steps."""

from .closed_forms import constant, cosine_with_warmup, linear, one_cycle, step, warmup_stable_decay

__all__ = [
    "constant",
    "cosine_with_warmup",
    "linear",
    "one_cycle",
    "step",
    "warmup_stable_decay",
]

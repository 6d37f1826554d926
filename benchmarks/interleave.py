"""Forms that take turns within one process, so that what slows the machine down slows all of them."""

import statistics
from collections.abc import Callable, Mapping
from typing import Any

import torch

from benchmarks.timing import time_once


def interleaved(
    forms: Mapping[str, Callable[[], Any]], num_rounds: int, device: torch.device | None = None
) -> dict[str, list[float]]:
    """Seconds of every form in every round (of this process on a CPU), after one round to warm up."""
    device = device or torch.device("cpu")
    seconds: dict[str, list[float]] = {name: [] for name in forms}
    for form in forms.values():
        form()
    for _ in range(num_rounds):
        for name, form in forms.items():
            seconds[name].append(time_once(form, device))
    return seconds


def median_ratio(numerator: list[float], denominator: list[float]) -> float:
    """The median of the rounds' own ratios: both were timed at about the same moment."""
    return statistics.median(a / b for a, b in zip(numerator, denominator, strict=True))

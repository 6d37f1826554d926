"""How time and peak memory grow with each size, beside what theory expects: slopes on a log-log plot.

Every size has a process of its own, one thread, and the time of that process. A slope is that of the line through the
larger half of the sizes, as small ones show constant costs. The expected slope is that of a cost, stated with the axis,
through the same sizes. Being below it is no fault.
"""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch

from benchmarks import scaling_works as works
from benchmarks.targets import target
from benchmarks.timing import in_fresh_process, peak_memory_mb, spread, time_once

NUM_REPEATS, NUM_ROUNDS = 5, 3
MOST_ABOVE = 0.15
"""By how much a slope may lie above its theory."""


@dataclass(frozen=True)
class Axis:
    name: str
    sizes: tuple[int, ...]
    make: Callable[..., Any]  # from a size (and the ExitStack of its files) to the work
    cost: Callable[[int], float]  # what time should be proportional to; peak memory should be to the size
    theory: str
    has_files: bool = False


def cost_of_step(N: int = 50, K: int = 10, C: int = 256, D: int = 64, over_residues: bool = False) -> float:
    """Half the FLOPs of the forward pass of a window: two layers, each over frames (and over residues), and F = 4."""
    per_token = 12 * D**2 + 2 * K * D + (12 * D**2 + 2 * N * D if over_residues else 0)
    return 2 * N * K * per_token + 4 * N * (D**2 + C * D)


RESIDUES = (50, 200, 500, 1000, 2000, 4000)
PAST = (10, 50, 100, 200, 500, 1000)
CLASSES = (16, 256, 2_000, 8_000, 20_000, 50_000)
TRAJECTORIES = (1, 100, 1_000, 10_000, 100_000, 1_000_000)
AXES = [
    Axis("residues, mixings.Temporal", RESIDUES, partial(works.step, "N"), lambda N: cost_of_step(N=N), "N"),
    Axis(
        "residues, mixings.Axial",
        RESIDUES,
        partial(works.step, "N", mixing="Axial"),
        lambda N: cost_of_step(N=N, over_residues=True),
        "12 N D^2 + 2 N^2 D",
    ),
    Axis(
        "frames of history",
        (5, 16, 32, 64, 128, 256),
        partial(works.step, "K"),
        lambda K: cost_of_step(K=K),
        "12 K D^2 + 2 K^2 D",
    ),
    Axis("frames of the past, gates.gin", PAST, works.step_of_gates, float, "T, beside a part without T"),
    Axis("classes", CLASSES, partial(works.step, "C"), lambda C: cost_of_step(C=C), "4 N C D, beside the layers"),
    Axis(
        "width", (16, 64, 128, 256, 512), partial(works.step, "D"), lambda D: cost_of_step(D=D), "24 N K D^2 + 4 N C D"
    ),
    Axis("trajectories, to the first batch", TRAJECTORIES, works.first_batch, float, "a row of the index each", True),
]


def run(device: str) -> Iterator[dict[str, Any]]:
    """One record per axis; it is measured on the CPU."""
    for number, axis in enumerate(AXES):
        yield record(axis, [in_fresh_process(measure, number, size) for size in axis.sizes])
    yield ranks()


def measure(number: int, size: int) -> dict[str, Any]:
    """Seconds and peak memory of one size of an axis, in a process that has only done the smallest before."""
    axis = AXES[number]
    torch.set_num_threads(1)
    torch.manual_seed(0)
    cpu = torch.device("cpu")
    with ExitStack() as files:
        make = partial(axis.make, files=files) if axis.has_files else axis.make
        make(axis.sizes[0])()  # loads the code, which is no cost of a size
        work = make(size)
        peak = peak_memory_mb(work, cpu)
        seconds = [time_once(work, cpu) for _ in range(NUM_REPEATS)]
    return {"seconds": seconds, "peak_mb": peak}


def record(axis: Axis, found: list[dict[str, Any]]) -> dict[str, Any]:
    """Slopes beside their theory."""
    medians = [float(np.median(one["seconds"])) for one in found]
    expected = slope(axis.sizes, [axis.cost(size) for size in axis.sizes])
    of_time = slope(axis.sizes, medians)
    of_memory = slope(axis.sizes, [max(one["peak_mb"], 1.0) for one in found])
    return {
        "name": axis.name,
        "theory": axis.theory,
        "sizes": list(axis.sizes),
        "peaks_mb": [round(one["peak_mb"], 1) for one in found],
        "times": {str(size): spread(one["seconds"]) for size, one in zip(axis.sizes, found, strict=True)},
        "ratios": {
            "slope of time": of_time,
            "expected slope of time": expected,
            "slope of peak memory": of_memory,
            "expected slope of peak memory": 1.0,
        },
        "targets": [
            above(f"time against {axis.name}", of_time - expected),
            above(f"peak memory against {axis.name}", of_memory - 1.0),
        ],
    }


def ranks() -> dict[str, Any]:
    """What a rank does for a global step: half as much with two ranks, and the exchange of gradients besides."""
    found: dict[int, list[float]] = {1: [], 2: []}
    for _ in range(NUM_ROUNDS):  # they take turns, as the machine may have other work
        for size, seconds in found.items():
            seconds += works.seconds_of_ranks(size)
    of_time = slope([1, 2], [float(np.median(values)) for values in found.values()])
    return {
        "name": "ranks, process time of each",
        "theory": "1 / ranks",
        "sizes": list(found),
        "times": {str(size): spread(values) for size, values in found.items()},
        "ratios": {"slope of time": of_time, "expected slope of time": -1.0},
        "targets": [above("time of a rank against ranks", of_time + 1.0)],
    }


def above(what: str, excess: float) -> dict[str, Any]:
    return target(f"{what}: slope above its theory", MOST_ABOVE, max(0.0, excess))


def slope(sizes: Any, values: list[float]) -> float:
    """The slope of log value over log size, by least squares, over the larger half of the sizes."""
    half = len(values) // 2 if len(values) > 2 else 0
    return float(np.polyfit(np.log(sizes[half:]), np.log(values[half:]), 1)[0])

"""What the hooks of base.gin, checkpoints every 20 steps included, add to its steps."""

import statistics
import tempfile
import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch

from benchmarks.targets import target
from benchmarks.timing import spread
from emprot_core import config, registry
from emprot_core.hooks.base import Hook, RunInfo, TrainerView


class EpochEnds(Hook):
    """Notes the time at the end of every epoch, validation and saves before it included."""

    def __init__(self) -> None:
        self.marks: list[float] = []

    def on_epoch_end(self, trainer: TrainerView) -> None:
        self.marks.append(time.process_time())


def measure(num_epochs: int = 4) -> dict[str, Any]:
    """Time within hooks and saves over the rest, per epoch with its validation: of this process, in one thread.

    It is taken within a single run, as two runs beside each other differ by more than that.
    """
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    registry.load_plugins()
    base = config.load(["base.gin"], [f"Trainer.max_epochs = {num_epochs}"])
    job = base.parameters("run", lazy={"job"})["job"]()
    trainer, ends, spans = job.trainer, EpochEnds(), Spans()
    with tempfile.TemporaryDirectory() as directory:
        trainer.attach(RunInfo(directory=Path(directory), config=base.text(), hparams=base.flat()), ends)
        trainer.hooks.emit = spans.of(trainer.hooks.emit)
        trainer.write_saves = spans.of(trainer.write_saves)
        trainer.fit(job.data.loader("train"), job.data.loader("validation"))
    epochs = list(pairwise(ends.marks))  # without the first, which opens files and loads code
    in_hooks = [spans.between(start, end) for start, end in epochs]
    rest = [end - start - spent for (start, end), spent in zip(epochs, in_hooks, strict=True)]
    ratio = statistics.median(1 + spent / other for spent, other in zip(in_hooks, rest, strict=True))
    steps = trainer.steps_per_epoch
    return {
        "name": "hooks of base.gin",
        "times": {"step": spread([(end - start) / steps for start, end in epochs])},
        "ratios": {"step with all hooks / without": ratio},
        "targets": [target("base.gin's step with all hooks / without", 1.02, ratio)],
    }


class Spans:
    """When functions ran."""

    def __init__(self) -> None:
        self.spans: list[tuple[float, float]] = []

    def of(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """The function, noted whenever it runs."""

        def noted(*arguments: Any) -> Any:
            start = time.process_time()
            try:
                return function(*arguments)
            finally:
                self.spans.append((start, time.process_time()))

        return noted

    def between(self, start: float, end: float) -> float:
        """Seconds within the functions that began in [start, end)."""
        return sum(last - first for first, last in self.spans if start <= first < end)

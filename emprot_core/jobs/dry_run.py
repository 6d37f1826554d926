"""--dry_run: a few steps of a training that leaves nothing behind, and what the whole of it will take."""

import copy
import io
import os
import re
import shutil
import statistics
import time
from collections.abc import Iterable, Iterator, Sequence, Sized
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import torch

from emprot_core.batch import Batch
from emprot_core.config import Config
from emprot_core.contracts import Baseline, Data, Split
from emprot_core.evaluation.beside_baselines import applicable, unseen_groups
from emprot_core.evaluation.forecast import ModelForecast
from emprot_core.hooks.base import Hook, TrainerView
from emprot_core.jobs.check_parts import check_parts
from emprot_core.jobs.counts import give_transitions
from emprot_core.jobs.forward import outputs_of
from emprot_core.jobs.rehearsal import StopAfter, rehearse
from emprot_core.training.loop import score
from emprot_core.training.trainer import Trainer

_WARM_UP, TIMED = 3, 5
_BATCHES = 2  # of validation and test, and for the fits of baselines


class DryRun(NamedTuple):
    """What a training will take, on this machine."""

    num_parameters: int
    steps: int
    seconds_a_step: float  # the median of some
    steps_an_epoch: int
    validations: int
    seconds_a_validation: float
    seconds_to_start: float  # imports, building, checks
    seconds_of_baselines: float  # fitting them, and scoring the validation split
    seconds_of_test: float
    peak_bytes: int  # of the process on a CPU, of what torch took on CUDA
    checkpoint_bytes: int  # of one
    free_bytes: int  # where the run directory will lie

    @property
    def seconds(self) -> float:
        """Of the whole run."""
        training = self.steps * self.seconds_a_step + self.validations * self.seconds_a_validation
        return self.seconds_to_start + training + self.seconds_of_baselines + self.seconds_of_test


def dry_run(config: Config, directory: Path) -> DryRun:
    """Build all that a run builds, train a few steps, score a few batches of each split, and forget it.

    Args:
        directory: where the run would lie. It is not made.

    Raises:
        RunRefused: the config trains nothing.
        ContractBroken: a component breaks its contract.
    """
    timer = _StepTimer()
    rehearsal = rehearse(config, timer, StopAfter(_WARM_UP + TIMED), init_from=config.get("run.init_from"))
    trainer, data, device = rehearsal
    baselines: Sequence[Baseline] = config.build("Train.baselines") if config.get("Train.baselines") else ()
    scores: Any = config.build("Train.scores") if config.get("Train.scores") else ()
    give_transitions(data, trainer.model)
    if (first := next(iter(data.all_windows("train")), None)) is not None:
        check_parts(trainer, data, baselines, scores, first)
    to_start = _seconds_since_start()
    of_baselines, of_test = _time_baselines(baselines, data)
    trainer.fit(data.loader("train", seed=trainer.run.seed), None)
    a_validation = _time_validation(trainer, data)
    of_test += _time_test(trainer, data, device)
    state = io.BytesIO()
    torch.save(trainer.state_dict(), state)
    every = trainer.validate_every_steps or trainer.steps_per_epoch or trainer.total_steps
    return DryRun(
        num_parameters=sum(parameter.numel() for parameter in trainer.model.parameters()),
        steps=trainer.total_steps,
        seconds_a_step=statistics.median(timer.seconds[_WARM_UP:] or timer.seconds),
        steps_an_epoch=trainer.steps_per_epoch,
        validations=-(-trainer.total_steps // every) if data.num_windows("validation") else 0,
        seconds_a_validation=a_validation,
        seconds_to_start=to_start,
        seconds_of_baselines=of_baselines,
        seconds_of_test=of_test,
        peak_bytes=torch.cuda.max_memory_allocated(device) if device.type == "cuda" else peak_memory(),
        checkpoint_bytes=state.tell(),
        free_bytes=shutil.disk_usage(_nearest(directory)).free,
    )


def peak_memory() -> int:
    """The most memory that this process has held so far, in bytes."""
    found = re.search(r"VmHWM:\s*(\d+) kB", Path("/proc/self/status").read_text())
    return int(found[1]) * 1024 if found else 0


def _seconds_since_start() -> float:
    """The age of this process."""
    ticks = float(Path("/proc/self/stat").read_text().rpartition(")")[2].split()[19])
    return float(Path("/proc/uptime").read_text().split()[0]) - ticks / os.sysconf("SC_CLK_TCK")


class _StepTimer(Hook):
    """Seconds of each step, the loading of its batches included."""

    def __init__(self) -> None:
        self.seconds: list[float] = []

    def on_fit_start(self, trainer: TrainerView) -> None:
        self._started = time.perf_counter()

    def on_step_end(self, trainer: TrainerView) -> None:
        if trainer.run.device.type == "cuda":
            torch.cuda.synchronize()
        now = time.perf_counter()
        self.seconds.append(now - self._started)
        self._started = now


def _time_validation(trainer: Trainer, data: Data) -> float:
    """Seconds of one validation."""
    if not data.num_windows("validation"):
        return 0.0
    with _scaled(data.loader("validation")) as (batches, seconds):
        for _ in score(trainer, batches):
            pass
    return seconds[0]


def _time_test(trainer: Trainer, data: Data, device: torch.device) -> float:
    """Seconds that the model takes for the test split, which is scored by its probabilities."""
    if not data.num_windows("test"):
        return 0.0
    model = ModelForecast([outputs_of(trainer.model, trainer.autocast)], device)
    with _scaled(data.loader("test")) as (batches, seconds):
        for batch in batches:
            model.predict(batch)
    return seconds[0]


def _time_baselines(baselines: Sequence[Baseline], data: Data) -> tuple[float, float]:
    """Seconds that the baselines take to be fitted and to forecast the validation split, and for the test split."""
    of_fit = of_test = 0.0
    for baseline in (copy.deepcopy(each) for each in baselines):
        with _scaled(data.all_windows("train")) as (train, seconds):
            baseline.fit(train, _few(data, "validation"), data.vocabulary.num_clusters)
        of_fit += seconds[0]
        for split in ("validation", "test"):
            if not data.num_windows(split) or not applicable([baseline], unseen_groups(data, split), split):
                continue
            with _scaled(data.loader(split)) as (batches, seconds):
                for batch in batches:
                    baseline.predict(batch)
            of_fit, of_test = (
                (of_fit + seconds[0], of_test) if split == "validation" else (of_fit, of_test + seconds[0])
            )
    return of_fit, of_test


def _few(data: Data, split: Split) -> list[Batch]:
    return list(islice(data.all_windows(split), _BATCHES)) if data.num_windows(split) else []


@contextmanager
def _scaled(loader: Iterable[Batch]) -> Iterator[tuple[list[Batch], list[float]]]:
    """The first batches of a loader; after the block the seconds that it would have taken for all of them."""
    started = time.perf_counter()
    batches = list(islice(loader, _BATCHES))
    loaded = time.perf_counter() - started
    seconds = [0.0]
    started = time.perf_counter()
    yield batches, seconds
    total = len(loader) if isinstance(loader, Sized) else len(batches)
    seconds[0] = (time.perf_counter() - started + loaded) * total / max(1, len(batches))


def _nearest(path: Path) -> Path:
    """The path, or the nearest directory above it that exists."""
    return next(each for each in (path.absolute(), *path.absolute().parents) if each.exists())

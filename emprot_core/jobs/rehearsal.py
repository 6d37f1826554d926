"""A training that leaves nothing behind: for --replay and --dry_run."""

from typing import Any, NamedTuple

import torch

from emprot_core.config import Config
from emprot_core.contracts import Data
from emprot_core.distributed import find_device
from emprot_core.hooks.base import Hook, RunInfo, TrainerView
from emprot_core.jobs.context import RunRefused
from emprot_core.jobs.counts import give_class_counts
from emprot_core.jobs.initial_weights import take_weights
from emprot_core.randomness import seed_everything, use_deterministic_algorithms
from emprot_core.training.trainer import Trainer


class Rehearsal(NamedTuple):
    """What jobs.Train would train: the trainer, before its first step, and its data."""

    trainer: Trainer
    data: Data
    device: torch.device


class StopAfter(Hook):
    """Ends a training after a step, before the validation that may be due."""

    def __init__(self, step: int):
        self.step = step

    def on_step_end(self, trainer: TrainerView) -> None:
        if trainer.step >= self.step:
            trainer.request_stop("the rehearsal is over", exit_status=1)


def rehearse(config: Config, *hooks: Hook, data: Any = None, init_from: str | None = None) -> Rehearsal:
    """Build trainer and data as a run would, with the same random numbers. Their hooks write nothing.

    Args:
        hooks: further hooks.
        data: those of the config, read from elsewhere.
        init_from: what run.init_from is.

    Raises:
        RunRefused: the config trains nothing.
    """
    if config.get("Train.trainer") is None:
        raise RunRefused(f"{', '.join(config.files)} trains nothing; give a config whose run.job is @jobs.Train()")
    device = find_device(config.get("run.device", "auto"), "run.device")
    use_deterministic_algorithms(device, config.get("run.deterministic", False))
    seed = config.get("run.seed", 0)
    seed_everything(seed)
    trainer: Any = config.build("Train.trainer")
    data = data if data is not None else config.build("Train.data")
    give_class_counts(data, trainer.model, trainer.forward_loss.loss)
    if init_from is not None:
        take_weights(trainer.model, init_from)
    run = RunInfo(
        device=device,
        seed=seed,
        config=config.text(),
        config_digest=config.digest(),
        data_digest=data.digest,
        is_rehearsal=True,
    )
    trainer.attach(run, *hooks)
    return Rehearsal(trainer, data, device)

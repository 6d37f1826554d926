"""Where a training stands: what its hooks see and ask for, and what a checkpoint holds."""

import contextlib
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from typing import Any

import torch
from torch import Tensor, nn

from emprot_core.batch import Batch
from emprot_core.contracts import Optimizer, Scheduler, StepLoader
from emprot_core.hooks.base import Hook, HookList, RunInfo, StopRequest
from emprot_core.training.randomness import random_state, restore_random_state
from emprot_core.training.sums import MetricSums

COUNTERS = ("epoch", "step", "epoch_step", "validation_pending", "best", "val_logs")


class TrainingState:
    """The part of the trainer that hooks see (`hooks.base.TrainerView`), with saving and restoring of it."""

    forward_loss: nn.Module

    def __init__(self, model: nn.Module, hooks: Iterable[Hook], log_every_steps: int):
        self.run = RunInfo()
        self.model = model
        self.hooks = HookList(hooks)
        self.log_every_steps = log_every_steps
        self.autocast: Callable[[], AbstractContextManager] = contextlib.nullcontext
        self.scaler = torch.amp.GradScaler(enabled=False)
        self.evaluation_weights: Callable[[], AbstractContextManager] = contextlib.nullcontext
        self.optimizer: Any = None
        self.scheduler: Any = None
        self.parameters: list[nn.Parameter] = []
        self.epoch = 0
        self.step = 0
        self.epoch_step = 0  # optimizer steps completed in this epoch
        self.steps_per_epoch = 0
        self.total_steps = 0
        self.validation_pending = False
        self.best: dict[str, float] = {}
        self.is_best = False
        self.logs: dict[str, float] | None = None
        self.val_logs: dict[str, float] = {}
        self.log_sums, self.epoch_sums = MetricSums(), MetricSums()
        self.micro_batches: list[Batch] = []
        self.stop: StopRequest | None = None
        self.exception: BaseException | None = None
        self._gradient_norm: Tensor | None = None
        self._saves: list[Callable[[dict[str, Any]], None]] = []
        self._loaded: dict[str, Any] | None = None

    def attach(self, run: RunInfo) -> None:
        """Put the model on the run's device and tell the hooks about the run; call it before training."""
        self.run = run
        self.model.to(run.device)

    def add_hook(self, hook: Hook) -> None:
        """One more hook; before training starts."""
        self.hooks = HookList([*self.hooks.hooks, hook])

    def gradient_norm(self) -> Tensor:
        if self._gradient_norm is None:
            gradients = [p.grad for p in self.parameters if p.grad is not None]
            self._gradient_norm = torch.nn.utils.get_total_norm(gradients)
        return self._gradient_norm

    def request_stop(self, reason: str, exit_status: int = 0) -> None:
        self.stop = self.stop or StopRequest(reason, exit_status)

    def request_save(self, write: Callable[[dict[str, Any]], None]) -> None:
        if write not in self._saves:
            self._saves.append(write)

    @property
    def is_log_step(self) -> bool:
        return self.step % self.log_every_steps == 0

    @property
    def is_leaving(self) -> bool:
        """Whether a hook asked to stop before training is finished."""
        return self.stop is not None and self.stop.exit_status != 0

    def state_dict(self) -> dict[str, Any]:
        """All that a resumed run needs to go on to the bit: tensors and plain values."""
        return {
            "model_state_dict": self.model.state_dict(),
            "evaluation_state_dict": self._evaluation_state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "scheduler": self.scheduler.state_dict() if self.scheduler is not None else None,
            "scaler": self.scaler.state_dict(),
            **{name: getattr(self, name) for name in COUNTERS},
            "log_sums": self.log_sums.state_dict(),
            "epoch_sums": self.epoch_sums.state_dict(),
            "hooks": self.hooks.state_dict(),
            "random": random_state(),
            "num_threads": torch.get_num_threads(),
            "config": self.run.config,
            "config_digest": self.run.config_digest,
            "data_digest": self.run.data_digest,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from `state_dict`; optimizer, hooks and random state follow when training starts.

        Raises:
            KeyError: a piece is missing.
            RuntimeError: the weights do not fit the model.
        """
        self.model.load_state_dict(state["model_state_dict"])
        for name in COUNTERS:
            setattr(self, name, state[name])
        self.log_sums.load_state_dict(state["log_sums"], self.run.device)
        self.epoch_sums.load_state_dict(state["epoch_sums"], self.run.device)
        self._loaded = state
        if self.optimizer is not None:
            self._restore_parts()

    def count_steps(self, loader: StepLoader, grad_accum_steps: int, max_epochs: int, max_steps: int | None) -> None:
        """Set steps_per_epoch and total_steps (the first stays 0 for a loader without a length).

        Raises:
            ValueError: the loader is empty, or has no length and max_steps is not set.
        """
        try:
            self.steps_per_epoch = loader.num_steps(grad_accum_steps)
        except TypeError:
            if max_steps is None:
                raise ValueError(
                    "the train loader has no length, so its steps cannot be counted; set max_steps"
                ) from None
            self.total_steps = max_steps
            return
        if not self.steps_per_epoch:
            raise ValueError("the train loader is empty; give it at least one batch")
        epochs = max_epochs * self.steps_per_epoch
        self.total_steps = epochs if max_steps is None else min(epochs, max_steps)

    def build_parts(self, optimizer: Optimizer, scheduler: Scheduler | None) -> None:
        """Make optimizer and scheduler, tell the hooks that training starts, and restore a loaded state."""
        named = [(name, p) for name, p in self.model.named_parameters() if p.requires_grad]
        self.parameters = [parameter for _, parameter in named]
        self.optimizer = optimizer(named)
        self.scheduler = scheduler(self.optimizer, self.total_steps) if scheduler is not None else None
        self.emit("on_fit_start")
        self._restore_parts()

    def emit(self, event: str) -> None:
        self.hooks.emit(event, self)

    def write_saves(self) -> None:
        """Act on the requests to save, now that every hook has handled the event."""
        if self._saves:
            state, writers, self._saves = self.state_dict(), self._saves, []
            for write in writers:
                write(state)

    def _evaluation_state_dict(self) -> dict[str, Tensor] | None:
        """The weights that validation uses, where a hook has put others in the place of the model's."""
        if self.evaluation_weights is contextlib.nullcontext:
            return None
        with self.evaluation_weights():
            return {name: value.clone() for name, value in self.model.state_dict().items()}

    def _restore_parts(self) -> None:
        if self._loaded is None:
            return
        state, self._loaded = self._loaded, None
        self.optimizer.load_state_dict(state["optimizer"])
        if self.scheduler is not None:
            self.scheduler.load_state_dict(state["scheduler"])
        self.scaler.load_state_dict(state["scaler"])
        self.hooks.load_state_dict(state["hooks"])
        restore_random_state(state["random"])

"""The trainer as its hooks see it (`hooks.base.TrainerView`), and what they may ask of it."""

import contextlib
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from typing import Any

import torch
from torch import Tensor, nn

from emprot_core.batch import Batch
from emprot_core.hooks.base import Hook, HookList, RunInfo, StopRequest
from emprot_core.training.agreement import agree_on_step, agree_on_stop
from emprot_core.training.sums import MetricSums


class HookView:
    """Where a training stands, and the requests of hooks."""

    forward_loss: nn.Module

    def __init__(self, model: nn.Module, hooks: Iterable[Hook], grad_accum_steps: int, log_every_steps: int):
        self.run = RunInfo()
        self.model = model
        self.hooks = HookList(hooks)
        self.grad_accum_steps = grad_accum_steps
        self.log_every_steps = log_every_steps
        self.autocast: Callable[[], AbstractContextManager[Any]] = contextlib.nullcontext
        self.scaler = torch.amp.GradScaler(enabled=False)
        self.evaluation_weights: Callable[[], AbstractContextManager[Any]] = contextlib.nullcontext
        self.optimizer: Any = None
        self.scheduler: Any = None
        self.parameters: list[nn.Parameter] = []
        self.gradients: list[Tensor] = []
        self.epoch = 0
        self.step = 0
        self.epoch_position = 0  # micro-batches of this epoch that are behind, over all ranks
        self.nominal_weight = 0.0  # of an optimizer step; 0 before the first
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
        self.step_loss = torch.zeros(())
        self._gradient_norm = torch.zeros(())
        self._stops_asked_for: list[StopRequest] = []
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
        return self._gradient_norm

    def request_stop(self, reason: str, exit_status: int = 0) -> None:
        self._stops_asked_for.append(StopRequest(reason, exit_status))

    def request_save(self, write: Callable[[dict[str, Any]], None]) -> None:
        if write not in self._saves:
            self._saves.append(write)

    @property
    def is_log_step(self) -> bool:
        return self.step % self.log_every_steps == 0 or self.step == self.total_steps

    @property
    def is_leaving(self) -> bool:
        """Whether a hook asked to stop before training is finished."""
        return self.stop is not None and self.stop.exit_status != 0

    def settle_stop(self, micro_batches: list[Batch] | None = None, is_last: bool = False) -> bool:
        """Whether training ends here; what one rank asked for holds for all of them from now on.

        Before a step it is given its micro-batches, and whether it is the last of the epoch: see agree_on_step.
        """
        if self.stop is None:
            # The most urgent request, whatever the order of the hooks.
            asked = max(self._stops_asked_for, key=lambda stop: (stop.exit_status, stop.reason), default=None)
            self.stop = agree_on_stop(asked) if micro_batches is None else agree_on_step(asked, micro_batches, is_last)
        return self.stop is not None

    def emit(self, event: str) -> None:
        self.hooks.emit(event, self)

"""The training loop: optimizer steps, validation and events. It knows no concrete hook."""

import contextlib
from collections.abc import Iterable, Sequence

import torch

from emprot_core.batch import Batch, move_batch, validate_batch
from emprot_core.contracts import Loss, Metric, Model, Optimizer, Scheduler, StepLoader
from emprot_core.distributed import world_size
from emprot_core.hooks.base import Hook, HookList, MakeContext, RunInfo, StopRequest
from emprot_core.registry import register
from emprot_core.training import resume, steps, validation
from emprot_core.training.errors import telling_hooks_of_errors
from emprot_core.training.forward_loss import ForwardLoss
from emprot_core.training.requests import Requests, State
from emprot_core.training.sums import LogSums, MetricSums
from emprot_core.training.updates import Updates

VALIDATION, EPOCH_END = "validation", "epoch end"  # what may be due after a step, in this order


@register("core")
class Trainer:
    """Trains a model in optimizer steps of one or more micro-batches. Hooks do everything else.

    hooks.base.TrainerView lists what hooks may use. Before `fit`, `attach` and `load_state_dict` may be called, in any
    order.
    """

    updates: Updates  # set when training starts, as are optimizer, scheduler, parameters and gradients

    def __init__(
        self,
        model: Model,
        loss: Loss,
        optimizer: Optimizer,
        scheduler: Scheduler | None = None,
        metrics: Sequence[Metric] = (),
        hooks: Sequence[Hook] = (),
        extra_hooks: Sequence[Hook] = (),
        max_epochs: int = 1,
        max_steps: int | None = None,
        grad_accum_steps: int = 1,
        validate_every_steps: int | None = None,
        log_every_steps: int = 10,
    ):
        """
        Args:
            optimizer: a factory, called with the named parameters.
            scheduler: a factory, called with the optimizer and the number of optimizer steps.
            extra_hooks: hooks in addition to `hooks`, so that a variant adds one without repeating the list.
            max_steps: training ends after so many optimizer steps, unless max_epochs ends it earlier.
            validate_every_steps: optimizer steps between validations. None validates at the end of every epoch.

        Raises ValueError if a number is below 1, or if the loss needs outputs that the model does not have.
        """
        self.max_epochs, self.max_steps, self.grad_accum_steps = max_epochs, max_steps, grad_accum_steps
        self.validate_every_steps, self.log_every_steps = validate_every_steps, log_every_steps
        steps.check_counts(self)
        self.num_clusters, self.future_horizon = model.num_clusters, model.future_horizon
        self.forward_loss: torch.nn.Module = ForwardLoss(model, loss, metrics)
        self.model: torch.nn.Module = self.forward_loss.model
        self.hooks = HookList([*hooks, *extra_hooks])
        self.run, self.requests = RunInfo(), Requests()
        self.request_stop, self.request_save = self.requests.ask_to_stop, self.requests.ask_to_save
        self.autocast: MakeContext = contextlib.nullcontext
        self.use_evaluation_weights: MakeContext = contextlib.nullcontext
        self.scaler = torch.amp.GradScaler(enabled=False)
        self.epoch = self.step = self.steps_per_epoch = self.total_steps = 0
        self.micro_batches_done = 0  # in this epoch, over all ranks
        self.due: list[str] = []  # what is still to do after the last step
        self.best: dict[str, float] = {}
        self.logs: dict[str, float] | None = None
        self.val_logs: dict[str, float] = {}
        self.log_sums, self.epoch_sums = LogSums(), MetricSums()
        self.micro_batches: list[Batch] = []
        self._factories = (optimizer, scheduler)
        self._loaded: State | None = None
        self.is_best = self._has_started = False
        self.exception: BaseException | None = None

    def fit(self, train_loader: Iterable[Batch] | StepLoader, val_loader: Iterable[Batch] | None = None) -> None:
        """Train until max_epochs, max_steps or a hook's request to stop. `stop` gives the reason for an early end."""
        loader = steps.as_step_loader(train_loader)
        with telling_hooks_of_errors(self):
            self._start(loader)
            self._do_what_is_due(val_loader)  # what an interrupted run had not finished
            while self.epoch < self.max_epochs and self.step < self.total_steps and not self.requests.agree_on_stop():
                self._run_epoch(loader, val_loader, self.total_steps)
            self.hooks.emit("on_fit_end", self)
            self.requests.write_saves(self.state_dict)

    def train_epoch(self, train_loader: Iterable[Batch] | StepLoader) -> dict[str, float]:
        """Train for one epoch, or the rest of it, without validation. Gives its means of loss and metrics."""
        loader = steps.as_step_loader(train_loader)
        self._start(loader)
        self._do_what_is_due(None)
        self._run_epoch(loader, None, None)
        return self.epoch_sums.means()

    def validate(self, val_loader: Iterable[Batch]) -> dict[str, float]:
        """The means over all batches as val/total_loss, val/token_ce, val/<metric>.

        Works before any training too. If a hook asks to leave, the result is empty; a resumed run then validates again.
        """
        return validation.run(self, val_loader)

    def attach(self, run: RunInfo, *hooks: Hook) -> None:
        """Set the run that this training is part of, move the model to its device, and add hooks of the run."""
        self.run = run
        self.model.to(run.device)
        self.hooks = HookList([*self.hooks.hooks, *hooks])

    def state_dict(self) -> State:
        """The content of a checkpoint (training.resume), once training has started. All ranks must call it."""
        return resume.capture(self)

    def load_state_dict(self, state: State) -> None:
        """Continue from `state_dict`. Optimizer, hooks and random state are restored when training starts.

        Raises CheckpointError if a piece is missing, and RuntimeError if the weights do not fit the model.
        """
        resume.restore_position(self, state)
        self._loaded = state
        if self._has_started:
            resume.restore_rest(self, state)

    @property
    def stop(self) -> StopRequest | None:
        return self.requests.stop

    @property
    def is_log_step(self) -> bool:
        return self.step % self.log_every_steps == 0 or self.step == self.total_steps

    def _start(self, loader: StepLoader) -> None:
        """On the first call, make the optimizer, emit on_fit_start and restore a loaded state."""
        if self._has_started:
            return
        self._has_started = True
        self.micro_batches_per_step = self.grad_accum_steps * world_size()
        self.steps_per_epoch, self.total_steps = steps.count_steps(self, loader)
        self.updates = updates = Updates(self.model, *self._factories, self.total_steps)
        self.optimizer, self.scheduler = updates.optimizer, updates.scheduler
        self.parameters, self.gradients = updates.parameters, updates.gradients
        self.gradient_norm, self.withhold_update = updates.gradient_norm, updates.withhold
        self.hooks.emit("on_fit_start", self)
        updates.scaler = self.scaler
        resume.restore_rest(self, self._loaded)
        self.requests.write_saves(self.state_dict)
        self.log_sums.restart_clock()

    def _run_epoch(self, loader: StepLoader, val_loader: Iterable[Batch] | None, last_step: int | None) -> None:
        epoch = self.epoch
        if not self.micro_batches_done:
            self.epoch_sums = MetricSums()
            self.hooks.emit("on_epoch_start", self)
        for micro_batches, is_last in steps.with_last(steps.steps_left(self, loader)):
            if self.step == last_step:
                return
            for batch in micro_batches:
                validate_batch(batch, self.num_clusters, self.future_horizon, needs_target=False)
            if self.requests.agree_on_step(micro_batches, is_last):
                return
            self._train_step(micro_batches)
            self.due = [VALIDATION] * steps.is_validation_due(self, is_last) + [EPOCH_END] * is_last
            self._do_what_is_due(val_loader)
        if self.epoch == epoch and not self.due:  # the epoch had begun, but the loader had no step left
            self.due = [EPOCH_END]
            self._do_what_is_due(val_loader)

    def _do_what_is_due(self, val_loader: Iterable[Batch] | None) -> None:
        """Validate, end the epoch, and only then save. A validation that a hook cut short stays due."""
        while self.due:
            if self.due[0] == EPOCH_END:
                self.epoch, self.micro_batches_done = self.epoch + 1, 0
                self.hooks.emit("on_epoch_end", self)
            elif val_loader is not None and (self.requests.agree_on_leaving() or not self.validate(val_loader)):
                break
            del self.due[0]
        self.requests.write_saves(self.state_dict)

    def _train_step(self, micro_batches: list[Batch]) -> None:
        self.hooks.emit("on_step_start", self)
        if not (self.forward_loss.training and self.model.training):
            self.forward_loss.train()  # it visits every module, so it is skipped when the mode is already right
        self.micro_batches = [move_batch(batch, self.run.device) for batch in micro_batches]
        sums = self.updates.backward(self.forward_loss, self.micro_batches, self.autocast)
        self.step_loss = sums.total("total_loss") / sums.weight("total_loss")
        self.log_sums.add_sums(sums)
        self.epoch_sums.add_sums(sums)
        self.hooks.emit("on_backward_end", self)
        self.updates.step()
        self.step += 1
        self.micro_batches_done += self.micro_batches_per_step
        self.logs = None
        if self.is_log_step:
            self.logs = self.log_sums.collect() | self.updates.logs() | self.hooks.scalars(self)
        self.hooks.emit("on_step_end", self)

"""The trainer: the parts of a training, its state, and what hooks see of it. It knows no concrete hook."""

from collections.abc import Callable, Iterable, Sequence
from contextlib import nullcontext

import torch

from emprot_core import randomness
from emprot_core.batch import Batch
from emprot_core.checkpoint.store import CheckpointError, State
from emprot_core.contracts import Loss, Metric, Model, Optimizer, Scheduler, StepLoader, Tested
from emprot_core.data.iterable_steps import as_step_loader
from emprot_core.distributed import world_size
from emprot_core.hooks.base import Hook, MakeContext, RunInfo, StopRequest
from emprot_core.hooks.hook_list import HookList
from emprot_core.registry import register
from emprot_core.training import loop, steps
from emprot_core.training.forward_loss import ForwardLoss
from emprot_core.training.stopping import Stops, telling_hooks_of_errors
from emprot_core.training.sums import LogSums, MetricSums
from emprot_core.training.updates import Updates

POSITION = ("epoch", "step", "micro_batches_done", "due", "best", "val_logs")
PIECES = (
    *("model_state_dict", "optimizer", "optimizer_class", "scheduler", "scaler", "divisor", "log_sums", "epoch_sums"),
    *("stops", "hooks", "random", "environment", "config", "config_digest", "data_digest", *POSITION),
)
"""What a checkpoint must hold, so that training goes on from it bit for bit."""


@register("core")
class Trainer:
    """Trains a model in optimizer steps of one or more micro-batches. Hooks do everything else.

    hooks.base.TrainerView lists what hooks may use. `attach` and `load_state_dict` come before `fit`, in any order.
    """

    tested: Tested | None = None
    step_loss: torch.Tensor  # (), set in every step; updates, optimizer, parameters and so on are set by _start

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
            model, loss, metrics: what is trained, what for, and what is logged beside the loss.
            optimizer, scheduler: factories. The first gets the named parameters, the other the optimizer and the steps.
            hooks, extra_hooks: called in this order at every event. A variant binds extra_hooks, and keeps the list.
            max_epochs, max_steps: training ends after so many epochs or optimizer steps, whichever comes first.
            grad_accum_steps: micro-batches whose gradients make one optimizer step.
            log_every_steps, validate_every_steps: optimizer steps in between. None validates after every epoch.

        Raises EmprotError if a number is below 1, or a part breaks its contract.
        """
        self.max_epochs, self.max_steps, self.grad_accum_steps = max_epochs, max_steps, grad_accum_steps
        self.validate_every_steps, self.log_every_steps = validate_every_steps, log_every_steps
        steps.check_counts(self)
        self.parts, self.factories = (model, loss, metrics), (optimizer, scheduler)
        self.forward_loss: torch.nn.Module = ForwardLoss(*self.parts)
        self.num_clusters, self.future_horizon = model.num_clusters, model.future_horizon
        self.model: torch.nn.Module = self.forward_loss.model
        self.hooks = HookList([*hooks, *extra_hooks])
        self.run, self.stops = RunInfo(), Stops()
        self.request_stop = self.stops.ask
        self.autocast: MakeContext = nullcontext
        self.use_evaluation_weights: MakeContext = nullcontext
        self.scaler = torch.amp.GradScaler(enabled=False)
        self.epoch = self.step = self.steps_per_epoch = self.total_steps = 0
        self.micro_batches_done = 0  # in this epoch, over all ranks
        self.due: list[str] = []  # what is still to do after the last step
        self.best: dict[str, float] = {}
        self.logs: dict[str, float] | None = None
        self.val_logs: dict[str, float] = {}
        self.log_sums, self.epoch_sums = LogSums(), MetricSums()
        self.micro_batches: list[Batch] = []
        self.exception: BaseException | None = None
        self.is_best = self.is_checked = self._has_started = False
        self._loaded: State | None = None
        self._saves: dict[Callable[[State], None], None] = {}  # in the order of the requests, each once

    def fit(self, train_loader: Iterable[Batch] | StepLoader, val_loader: Iterable[Batch] | None = None) -> None:
        """Train until max_epochs, max_steps or a hook's request to stop. `stop` gives the reason for an early end."""
        with telling_hooks_of_errors(self):
            loader = self._start(train_loader)
            loop.do_what_is_due(self, val_loader)  # what an interrupted run had not finished
            while self.epoch < self.max_epochs and self.step < self.total_steps and not self.stops.agree():
                loop.run_epoch(self, loader, val_loader, self.total_steps)
            self.hooks.emit("on_fit_end", self)
            self.write_saves()

    def train_epoch(self, train_loader: Iterable[Batch] | StepLoader) -> dict[str, float]:
        """Train for one epoch, or the rest of it, without validation. Gives its means of loss and metrics."""
        loader = self._start(train_loader)
        loop.do_what_is_due(self, None)
        loop.run_epoch(self, loader, None, None)
        return self.epoch_sums.means()

    def validate(self, val_loader: Iterable[Batch]) -> dict[str, float]:
        """The means over all batches as val/<metric>, before any training too. Empty if a hook asks to leave."""
        return loop.validate(self, val_loader)

    def attach(self, run: RunInfo, *hooks: Hook) -> None:
        """Set the run that this training is part of, move the model to its device, and add hooks of the run."""
        self.run = run
        self.model.to(run.device)
        self.hooks = HookList([*self.hooks.hooks, *hooks])

    @property
    def stop(self) -> StopRequest | None:
        return self.stops.stop

    @property
    def is_log_step(self) -> bool:
        return self.step % self.log_every_steps == 0 or self.step == self.total_steps

    def request_save(self, write: Callable[[State], None]) -> None:
        """Ask for one call of `write(state)` by `write_saves`. All ranks must ask for the same."""
        self._saves[write] = None

    def write_saves(self) -> None:
        """Collect the state once, and call every `write` that was asked for with it."""
        if self._saves:
            state, saves, self._saves = self.state_dict(), self._saves, {}
            for write in saves:
                write(state)
            self.hooks.emit("on_save_end", self)

    def state_dict(self) -> State:
        """All that training needs to go on bit for bit, once it has started. All ranks must call it."""
        return {
            "model_state_dict": self.model.state_dict(),
            "evaluation_state_dict": loop.evaluation_weights(self),
            **self.updates.state_dict(),
            **{name: getattr(self, name) for name in POSITION},
            "log_sums": self.log_sums.state_dict(),
            "epoch_sums": self.epoch_sums.state_dict(),
            "stops": self.stops.state_dict(),
            "hooks": self.hooks.state_dict(),
            **randomness.state_dict(self.run.device),
            **{name: getattr(self.run, name) for name in ("config", "config_digest", "data_digest")},
        }

    def load_state_dict(self, state: State) -> None:
        """Continue from `state_dict`. Optimizer, hooks and random state are restored when training starts.

        Raises CheckpointError if a piece is missing, and RuntimeError if the weights do not fit the model.
        """
        if missing := [name for name in PIECES if name not in state]:
            raise CheckpointError(
                f"the checkpoint lacks {', '.join(missing)}, so training cannot go on from it as it was; "
                "to take its weights alone: run.init_from"
            )
        self.model.load_state_dict(state["model_state_dict"])
        for name in POSITION:
            setattr(self, name, state[name])
        self._loaded = state
        if self._has_started:
            self._restore(state)

    def _restore(self, state: State) -> None:
        config_changed = state["config_digest"] != self.run.config_digest
        self.updates.load_state_dict(state, keep_rates=config_changed)
        self.log_sums.load_state_dict(state["log_sums"], self.run.device)
        self.epoch_sums.load_state_dict(state["epoch_sums"], self.run.device)
        self.stops.load_state_dict([] if config_changed else state["stops"])  # the change may be meant to train longer
        self.hooks.load_state_dict(state["hooks"])
        randomness.load_state_dict(state, self.run.device, self.run.seed, self.step)

    def _start(self, train_loader: Iterable[Batch] | StepLoader) -> StepLoader:
        """On the first call, make the optimizer, emit on_fit_start and restore a loaded state."""
        loader = as_step_loader(train_loader)
        if self._has_started:
            return loader
        self._has_started = True
        self.micro_batches_per_step = self.grad_accum_steps * world_size()
        self.steps_per_epoch, self.total_steps = steps.count_steps(self, loader)
        self.updates = updates = Updates(self.model, *self.factories, self.total_steps)
        self.optimizer, self.scheduler = updates.optimizer, updates.scheduler
        self.parameters, self.gradients = updates.parameters, updates.gradients
        self.gradient_norm, self.withhold_update = updates.gradient_norm, updates.withhold
        self.hooks.emit("on_fit_start", self)
        updates.scaler = self.scaler
        if self._loaded is not None:
            self._restore(self._loaded)
        elif world_size() > 1:
            randomness.seed_this_rank(self.run.seed, self.step)
        self.log_sums.restart_clock()
        return loader

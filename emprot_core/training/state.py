"""What a checkpoint holds of a training, and how one goes on from it."""

import contextlib
import logging
from collections.abc import Callable
from fractions import Fraction
from typing import Any

import torch
from torch import Tensor

from emprot_core.checkpoint import CheckpointError
from emprot_core.contracts import Flattens, Optimizer, Scheduler, StepLoader
from emprot_core.distributed import copy_from_rank_0, gather, rank, world_size
from emprot_core.hooks.base import StopRequest
from emprot_core.training.gradients import gradients_of
from emprot_core.training.randomness import environment, random_state, restore_random_state, seed_this_rank
from emprot_core.training.view import HookView

COUNTERS = ("epoch", "step", "epoch_position", "nominal_weight", "validation_pending", "best", "val_logs")
PIECES = (
    *("model_state_dict", "optimizer", "optimizer_class", "scheduler", "scaler", *COUNTERS, "log_sums", "epoch_sums"),
    *("stops", "hooks", "random", "environment", "config", "config_digest", "data_digest"),
)
_log = logging.getLogger("emprot")


class TrainingState(HookView):
    """A training that can be written down and taken up again."""

    @property
    def step_size(self) -> int:
        """Micro-batches of an optimizer step, over all ranks."""
        return self.grad_accum_steps * world_size()

    @property
    def epoch_step(self) -> int | Fraction:
        """Optimizer steps of this epoch that are behind: a fraction where they were of another size."""
        steps = Fraction(self.epoch_position, self.step_size)
        return int(steps) if steps.denominator == 1 else steps

    def state_dict(self) -> dict[str, Any]:
        """All that a resumed run needs to go on to the bit: tensors and plain values. Every rank must ask."""
        return {
            "model_state_dict": self.model.state_dict(),
            "evaluation_state_dict": self._evaluation_state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "optimizer_class": type(self.optimizer).__name__,
            "scheduler": self.scheduler.state_dict() if self.scheduler is not None else None,
            "scaler": self.scaler.state_dict(),
            **{name: getattr(self, name) for name in COUNTERS},
            "log_sums": self.log_sums.state_dict(),
            "epoch_sums": self.epoch_sums.state_dict(),
            "stops": [stop.reason for stop in self._stops_asked_for if stop.exit_status == 0],
            "hooks": self.hooks.state_dict(),
            "random": gather(random_state(self.run.device)),
            "environment": environment(self.run.device),
            "config": self.run.config,
            "config_digest": self.run.config_digest,
            "data_digest": self.run.data_digest,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from `state_dict`; optimizer, hooks and random state follow when training starts.

        Raises:
            CheckpointError: a piece is missing.
            RuntimeError: the weights do not fit the model.
        """
        if missing := [name for name in PIECES if name not in state]:
            raise CheckpointError(
                f"the checkpoint lacks {', '.join(missing)}, so training cannot go on from it as it was; "
                "to take its weights alone: run.init_from"
            )
        self.model.load_state_dict(state["model_state_dict"])
        for name in COUNTERS:
            setattr(self, name, state[name])
        self.log_sums.load_state_dict(state["log_sums"], self.run.device)
        self.epoch_sums.load_state_dict(state["epoch_sums"], self.run.device)
        if state["config_digest"] == self.run.config_digest:  # else the change may be meant to train on
            self._stops_asked_for = [StopRequest(reason) for reason in state["stops"]]
        self._loaded = state
        if self.optimizer is not None:
            self._restore_parts(state)

    def count_steps(self, loader: StepLoader, max_epochs: int, max_steps: int | None) -> None:
        """Set steps_per_epoch and total_steps (the first stays 0 for a loader without a length).

        Raises:
            ValueError: the loader is empty, or has no length and max_steps is not set.
        """
        try:
            self.steps_per_epoch = loader.num_steps(self.grad_accum_steps)
        except TypeError:
            if max_steps is None:
                raise ValueError(
                    "the train loader has no length, so its steps cannot be counted; set max_steps"
                ) from None
            self.total_steps = max_steps
            return
        if not self.steps_per_epoch:
            raise ValueError("the train loader is empty; give it at least one batch")
        # From here on, not from the start: with other ranks the steps behind were of another size. (One too many may be
        # counted then, where the epoch is not a whole number of steps.)
        left = (max_epochs - self.epoch) * self.steps_per_epoch - int(self.epoch_step)
        self.total_steps = self.step + max(0, left)
        if max_steps is not None:
            self.total_steps = min(self.total_steps, max_steps)

    def build_parts(self, optimizer: Optimizer, scheduler: Scheduler | None) -> None:
        """Make optimizer and scheduler, tell the hooks that training starts, and restore a loaded state."""
        copy_from_rank_0(self.model.state_dict().values())
        named = [(name, p) for name, p in self.model.named_parameters() if p.requires_grad]
        self.optimizer = _made("Trainer.optimizer", optimizer, named)
        if not isinstance(self.optimizer, torch.optim.Optimizer):
            raise ValueError(
                f"Trainer.optimizer gave a {type(self.optimizer).__name__}, expected a torch.optim.Optimizer; "
                "does the function return it?"
            )
        if isinstance(self.optimizer, Flattens):
            self.optimizer.flatten()
        self.parameters = [parameter for group in self.optimizer.param_groups for parameter in group["params"]]
        self.gradients = gradients_of(self.parameters)
        if scheduler is not None:
            self.scheduler = _made("Trainer.scheduler", scheduler, self.optimizer, self.total_steps)
        self.emit("on_fit_start")
        if self._loaded is not None:
            self._restore_parts(self._loaded)
        elif world_size() > 1:
            seed_this_rank(self.run.seed, self.step)

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

    def _restore_parts(self, state: dict[str, Any]) -> None:
        self._loaded = None
        if state["optimizer_class"] != (ours := type(self.optimizer).__name__):
            raise CheckpointError(
                f"the checkpoint has the state of {state['optimizer_class']}, this trainer has {ours}; bind "
                "Trainer.optimizer as it was, or take the weights alone: run.init_from, in another directory"
            )
        bound = self._bound_rates()
        self.optimizer.load_state_dict(state["optimizer"])
        if (self.scheduler is None) != (state["scheduler"] is None):
            raise CheckpointError(
                f"the checkpoint has {'no' if self.scheduler else 'a'} scheduler, this trainer has "
                f"{'one' if self.scheduler else 'none'}; bind Trainer.scheduler as it was"
            )
        if self.scheduler is not None:
            self.scheduler.load_state_dict(state["scheduler"])
        if state["config_digest"] != self.run.config_digest:
            self._take_bound_rates(*bound)
        self.scaler.load_state_dict(state["scaler"])
        self.hooks.load_state_dict(state["hooks"])
        self._restore_randomness(state)

    def _bound_rates(self) -> tuple[list[dict[str, Any]], list[float] | None]:
        """What the config says of each group of parameters (learning rate, weight decay, ...), before a step."""
        given = self.optimizer.param_groups
        groups = [{key: value for key, value in group.items() if key != "params"} for group in given]
        return groups, getattr(self.scheduler, "base_lrs", None)

    def _take_bound_rates(self, groups: list[dict[str, Any]], base_rates: list[float] | None) -> None:
        """Go on with what the config says now, at the place of the schedule where the checkpoint was."""
        for group, bound in zip(self.optimizer.param_groups, groups, strict=True):
            progress = group["lr"] / group["initial_lr"] if group.get("initial_lr") else 1.0
            group.update(bound)
            group["lr"] = bound.get("initial_lr", bound["lr"]) * progress
        if base_rates is not None:
            self.scheduler.base_lrs = base_rates

    def _restore_randomness(self, state: dict[str, Any]) -> None:
        now = environment(self.run.device)
        changes = [
            f"{name} {was} -> {now.get(name)}" for name, was in state["environment"].items() if was != now.get(name)
        ]
        if changes:
            _log.warning("going on with another set-up, so the last digits may differ: %s", ", ".join(changes))
        if len(state["random"]) == world_size():
            restore_random_state(state["random"][rank()], self.run.device)
            return
        seed_this_rank(self.run.seed, self.step)
        _log.warning("dropout goes on with new random numbers, drawn from run.seed, the number of ranks and the step")


def _made(what: str, factory: Callable[..., Any], *arguments: Any) -> Any:
    try:
        return factory(*arguments)
    except ValueError as error:
        raise ValueError(f"{what}: {error}") from error

"""Events of training, and the base of every hook.

A hook is told of events and may ask the trainer for a save or a stop; the trainer acts after every hook has
handled the event, so that no result depends on the order of the hooks.
"""

import difflib
import logging
from collections import defaultdict
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import torch
from torch import Tensor, nn

from emprot_core.batch import Batch
from emprot_core.checkpoint import CheckpointError

_log = logging.getLogger("emprot")

EVENTS = (
    "on_fit_start",
    "on_epoch_start",
    "on_step_start",
    "on_backward_end",  # once per optimizer step, after the last micro-batch: gradients unscaled and normalised
    "on_step_end",
    "on_validation_start",
    "on_validation_step_end",
    "on_validation_end",
    "on_epoch_end",
    "on_fit_end",
    "on_exception",  # trainer.exception
)


MakeContext = Callable[[], AbstractContextManager[Any]]


class StopRequest(NamedTuple):
    """Why training ends. exit_status 0 means finished; anything else that it can be taken up again."""

    reason: str
    exit_status: int = 0


@dataclass(frozen=True)
class RunInfo:
    """What a trainer and its hooks know of the run around them."""

    directory: Path | None = None
    """Where hooks write; None: nothing is written."""
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))
    seed: int = 0
    config: Any = None
    """The gin text, or the seed front's mapping: goes into every checkpoint."""
    hparams: dict[str, str] = field(default_factory=dict)
    """Every bound parameter as text: what TensorBoard's HPARAMS page compares."""
    config_digest: str = ""
    data_digest: str = ""


class TrainerView(Protocol):
    """The trainer as hooks see it. Everything here may be read; what may be replaced says so."""

    run: RunInfo
    model: nn.Module
    forward_loss: nn.Module  # a batch through model, loss and metrics
    optimizer: torch.optim.Optimizer
    parameters: list[nn.Parameter]  # as the optimizer holds them: the model's own, or flat ones that these are views of
    gradients: list[Tensor]  # theirs, to be changed in place
    autocast: MakeContext  # a hook may replace it in on_fit_start
    scaler: torch.amp.GradScaler  # likewise
    use_evaluation_weights: MakeContext  # likewise: puts other weights in for a validation
    epoch: int  # epochs completed
    step: int  # optimizer steps completed
    total_steps: int
    steps_per_epoch: int
    due: list[str]  # what the step left to do: a validation, the end of the epoch
    micro_batches: list[Batch]  # of the current step, on the device
    logs: dict[str, float] | None  # after on_step_end of a step that is logged: train/... and time/...
    val_logs: dict[str, float]  # the last validation: val/...
    best: dict[str, float]  # {"val/total_loss": x, "step": n} of the best validation, or empty
    is_best: bool  # whether the validation that ended is the best so far
    exception: BaseException | None  # in on_exception
    step_loss: Tensor  # (), the mean loss of this step over its micro-batches and all ranks; from on_backward_end on

    @property
    def is_log_step(self) -> bool: ...

    @property
    def stop(self) -> StopRequest | None:
        """Of all ranks: what one asked for is agreed on before the next step."""
        ...

    def gradient_norm(self) -> Tensor:
        """(), the norm of this step's gradients before any hook changed them; from on_backward_end on."""
        ...

    def withhold_update(self, suspect: Tensor) -> None:
        """In on_backward_end: this step leaves parameters and optimizer as they are if `suspect` () is not finite."""
        ...

    def request_stop(self, reason: str, exit_status: int = 0) -> None:
        """End training, on all ranks, before the next step; the request with the highest exit status counts."""
        ...

    def request_save(self, write: Callable[[dict[str, Any]], None]) -> None:
        """Have `write(state)` called once every hook has handled the event; every rank must ask alike."""
        ...


class Hook:
    """Base of all hooks: define the events you need (`EVENTS`), each taking the trainer.

    `state_dict` is saved in every checkpoint and restored by `load_state_dict`: by default the attributes named
    in `state_names`.
    """

    state_names: tuple[str, ...] = ()

    def scalars(self, trainer: TrainerView) -> dict[str, float]:
        """What the hook adds to `trainer.logs` of a logged step, before on_step_end."""
        return {}

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        for name in vars(cls):
            if name.startswith("on_") and name not in EVENTS:
                close = difflib.get_close_matches(name, EVENTS, n=1)
                hint = f"did you mean {close[0]}? " if close else ""
                raise TypeError(f"{cls.__name__} defines {name}, which is no event; {hint}events: {', '.join(EVENTS)}")

    def state_dict(self) -> dict[str, Any]:
        """Tensors, numbers, strings and containers of them."""
        return {name: getattr(self, name) for name in self.state_names}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore what `state_dict` gave; a missing piece is a KeyError."""
        for name in self.state_names:
            setattr(self, name, state[name])


class HookList:
    """Calls hooks. An event nobody defines costs nothing but an empty loop."""

    def __init__(self, hooks: Iterable[Hook]):
        self.hooks = list(hooks)
        self._handlers = {e: [getattr(h, e) for h in self.hooks if hasattr(type(h), e)] for e in EVENTS}

    def emit(self, event: str, trainer: TrainerView) -> None:
        for handler in self._handlers[event]:
            handler(trainer)

    def tell_exception(self, trainer: TrainerView) -> None:
        """Emit on_exception to every hook; what fails meanwhile does not hide the exception itself."""
        for handler in self._handlers["on_exception"]:
            try:
                handler(trainer)
            except Exception as another:
                _log.warning("%s, while ending after another error", another)

    def scalars(self, trainer: TrainerView) -> dict[str, float]:
        return {name: value for hook in self.hooks for name, value in hook.scalars(trainer).items()}

    def state_dict(self) -> dict[str, dict[str, Any]]:
        """The state of every hook, by class name and ordinal."""
        return {key: hook.state_dict() for key, hook in self._keyed()}

    def load_state_dict(self, states: dict[str, dict[str, Any]]) -> None:
        """Restore every hook that has state; one whose state is missing is an error.

        Raises:
            CheckpointError: the checkpoint lacks the state of a hook, or part of it.
        """
        for key, hook in self._keyed():
            if key not in states and hook.state_dict():
                raise CheckpointError(
                    f"the checkpoint has no state for the hook {key}, only for {', '.join(states) or 'none'}; "
                    "go on with the hooks it was written with"
                )
            try:
                hook.load_state_dict(states.get(key, {}))
            except KeyError as lacking:
                raise CheckpointError(f"the checkpoint lacks {lacking} of the hook {key}") from lacking

    def _keyed(self) -> list[tuple[str, Hook]]:
        seen: dict[str, int] = defaultdict(int)
        keyed = []
        for hook in self.hooks:
            name = type(hook).__name__
            keyed.append((f"{name}.{seen[name]}", hook))
            seen[name] += 1
        return keyed

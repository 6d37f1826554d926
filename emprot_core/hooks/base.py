"""Events of training, and the base of every hook.

The trainer calls a hook at each event that the hook defines. A hook may ask the trainer to save or to stop. The trainer
acts on this only after every hook has handled the event, so no result depends on the order of the hooks.
"""

import difflib
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import torch
from torch import Tensor, nn

from emprot_core.batch import Batch
from emprot_core.contracts import Tested

EVENTS = (
    "on_run_start",  # jobs.Train holds the lock of trainer.run.directory, and has read nothing in it yet
    "on_fit_start",
    "on_epoch_start",
    "on_step_start",
    "on_backward_end",  # once per optimizer step, after the last micro-batch; gradients are unscaled and normalised
    "on_step_end",
    "on_validation_start",
    "on_validation_step_end",
    "on_validation_end",
    "on_epoch_end",
    "on_save_end",  # all that was asked of request_save is written, such as a checkpoint of trainer.step
    "on_fit_end",
    "on_test_end",  # jobs.Train scored the best weights on the test split; result.json is not written yet
    "on_run_end",  # result.json is written, now or by an earlier start; or EMPROTTrainer.train is over
    "on_exception",  # trainer.exception holds the error
)


MakeContext = Callable[[], AbstractContextManager[Any]]


class StopRequest(NamedTuple):
    """Why training ends. exit_status 0 means that it is finished, any other that it can be resumed."""

    reason: str
    exit_status: int = 0


@dataclass(frozen=True)
class RunInfo:
    """What a trainer and its hooks know about the run they belong to."""

    directory: Path | None = None
    """Where hooks write. If it is None, they write nothing, unless a directory of their own is bound."""
    is_rehearsal: bool = False
    """Hooks write nothing at all: steps are only tried, or computed again."""
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))
    seed: int = 0
    config: Any = None
    """The gin text, or the mapping given to EMPROTTrainer. Every checkpoint holds it."""
    hparams: dict[str, str] = field(default_factory=dict)
    """The gin file, and what was bound outside the shipped ones, as text, for the HPARAMS page of TensorBoard."""
    config_digest: str = ""
    data_digest: str = ""
    bar_nll_bits: Sequence[float | None] = ()  # (F,) of the best baseline on the validation split, if there is one


class TrainerView(Protocol):
    """The trainer as hooks see it. They may read everything here, and replace what is marked as replaceable."""

    run: RunInfo
    model: nn.Module
    forward_loss: nn.Module  # takes a batch through model, loss and metrics
    optimizer: torch.optim.Optimizer
    parameters: list[nn.Parameter]  # what the optimizer steps: the model's, or flat tensors of which those are views
    gradients: list[Tensor]  # those of `parameters`; hooks may change them in place
    autocast: MakeContext  # replaceable in on_fit_start
    scaler: torch.amp.GradScaler  # replaceable in on_fit_start
    use_evaluation_weights: MakeContext  # replaceable in on_fit_start: swaps in the weights that validation uses
    epoch: int  # epochs completed
    step: int  # optimizer steps completed
    total_steps: int
    steps_per_epoch: int
    due: list[str]  # what is still to do after the step: a validation, the end of the epoch
    micro_batches: list[Batch]  # of the current step, on the device
    logs: dict[str, float] | None  # train/... and time/... from on_step_end of a logged step on; else None
    val_logs: dict[str, float]  # val/... of the last validation
    best: dict[str, float]  # {"val/total_loss": x, "step": n} of the best validation, or empty
    tested: Tested | None  # what came out on the test split, in on_test_end
    is_best: bool  # whether the last validation is the best so far
    exception: BaseException | None  # the error that ended training, in on_exception
    step_loss: Tensor  # (), mean loss of this step over its micro-batches and all ranks; set before on_backward_end

    @property
    def is_log_step(self) -> bool: ...

    @property
    def stop(self) -> StopRequest | None:
        """The stop that all ranks agreed on, or None. A request shows here once they agree, before the next step."""

    def gradient_norm(self) -> Tensor:
        """The norm () of this step's gradients before any hook changed them. Available from on_backward_end on."""

    def withhold_update(self, suspect: Tensor) -> None:
        """Call in on_backward_end: if `suspect` () is not finite, this step changes no parameter or optimizer state."""

    def request_stop(self, reason: str, exit_status: int = 0) -> None:
        """End training on all ranks before the next step. Of several requests the highest exit status counts."""
        ...

    def request_save(self, write: Callable[[dict[str, Any]], None]) -> None:
        """Ask for a call of `write(state)` after every hook has handled the event. All ranks must ask for the same."""
        ...


class Hook:
    """Base class of all hooks. Define a method for each event you need (`EVENTS`); it takes the trainer.

    Every checkpoint saves `state_dict`, and `load_state_dict` restores it. By default the state is the attributes named
    in `state_names`.
    """

    state_names: tuple[str, ...] = ()

    def scalars(self, trainer: TrainerView) -> dict[str, float]:
        """The numbers that the hook adds to `trainer.logs` of a logged step. Called before on_step_end."""
        return {}

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        for name in vars(cls):
            if name.startswith("on_") and name not in EVENTS:
                close = difflib.get_close_matches(name, EVENTS, n=1)
                hint = f"did you mean {close[0]}? " if close else ""
                raise TypeError(f"{cls.__name__} defines {name}, which is no event; {hint}events: {', '.join(EVENTS)}")

    def state_dict(self) -> dict[str, Any]:
        """The state to save: tensors, numbers, strings and containers of them."""
        return {name: getattr(self, name) for name in self.state_names}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore what `state_dict` gave. Raises KeyError if a piece is missing."""
        for name in self.state_names:
            setattr(self, name, state[name])

"""--replay: one step of a run computed again: its windows, its loss and gradient norm, and where the loss lies."""

import contextlib
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from emprot_core.batch import Batch
from emprot_core.checkpoint import CheckpointStore
from emprot_core.checkpoint.names import own_names
from emprot_core.checkpoint.store import State
from emprot_core.contracts import LossTerms, Outputs
from emprot_core.hooks.base import Hook, TrainerView
from emprot_core.jobs.context import RunRefused
from emprot_core.jobs.counts import give_transitions
from emprot_core.jobs.load import StoredRun
from emprot_core.jobs.rehearsal import Rehearsal, StopAfter, rehearse
from emprot_core.jobs.steps_log import read_steps

_log = logging.getLogger("emprot")


class Token(NamedTuple):
    """The NLL of the targets of one step, token by token."""

    nll: np.ndarray  # (tokens,) float64, nats
    trajectory: np.ndarray  # (tokens,) the place of the trajectory in data.split_contents("train")
    frame: np.ndarray  # (tokens,) the target frame
    residue: np.ndarray  # (tokens,) from 0 on


class Replay(NamedTuple):
    """A step that was computed again."""

    step: int
    origin: str  # the checkpoint that it was computed from, or "" for the beginning
    loss: float  # nats
    gradient_norm: float
    learning_rate: float
    logged: tuple[float, float] | None  # loss and gradient norm in steps.bin
    names: list[str]  # of the trajectories
    tokens: Token

    @property
    def is_equal(self) -> bool:
        """Whether loss and gradient norm are those of the run, to the bit. NaN equals NaN."""
        return self.logged is not None and np.array_equal(self.logged, (self.loss, self.gradient_norm), equal_nan=True)


def replay(directory: str | Path, step: int) -> Replay:
    """Compute an optimizer step of a run again, from the newest checkpoint before it. The run is only read.

    Args:
        step: from 1 on.

    Raises:
        RunRefused: the run had several ranks, or never came to that step.
        CheckpointError: there is no run.
        StoreError: its data are no longer where they were.
    """
    run = StoredRun(directory)
    _check(run, step)
    state, origin = _state_before(CheckpointStore(run.directory / "checkpoints"), step)
    recorder = _Recorder(step)
    with _quiet():
        rehearsal = rehearse(run.config, recorder, StopAfter(step), data=run.data(), init_from=_init_from(run, state))
        _start(rehearsal, state)
        validation = rehearsal.data.loader("validation") if rehearsal.data.num_windows("validation") else None
        rehearsal.trainer.fit(rehearsal.data.loader("train", seed=rehearsal.trainer.run.seed), validation)
    rows = read_steps(run.directory)
    rows = rows[rows["step"] == step]
    logged = (float(rows["loss"][-1]), float(rows["gradient_norm"][-1])) if len(rows) else None
    names = [each.trajectory for each in rehearsal.data.split_contents("train")]
    tokens = recorder.tokens(rehearsal.data)
    return Replay(step, origin, recorder.loss, recorder.norm, recorder.rate, logged, names, tokens)


def _check(run: StoredRun, step: int) -> None:
    last = int(max([run.state["step"], *read_steps(run.directory)["step"].tolist()]))
    if not 1 <= step <= last:
        raise RunRefused(f"--step is {step}, but {run.directory} has the steps 1 to {last}")
    if (ranks := run.state["environment"]["ranks"]) > 1:
        raise RunRefused(f"{run.directory} was trained by {ranks} ranks; a step of one process alone can be replayed")


def _state_before(checkpoints: CheckpointStore, step: int) -> tuple[State | None, str]:
    """The newest whole checkpoint before a step, and its name."""
    wrong = checkpoints.faults()
    for name in reversed(own_names(checkpoints.index())):
        if name not in wrong:
            state = checkpoints.load(name)
            if state["step"] < step:
                return state, name
    return None, ""


def _init_from(run: StoredRun, state: State | None) -> str | None:
    return run.config.get("run.init_from") if state is None else None


def _start(rehearsal: Rehearsal, state: State | None) -> None:
    if state is None:
        give_transitions(rehearsal.data, rehearsal.trainer.model)
        return
    if state["config_digest"] != rehearsal.trainer.run.config_digest:
        _log.warning("the config was changed after this step, so its numbers may differ")
    rehearsal.trainer.load_state_dict(state)


class _Recorder(Hook):
    """Keeps the numbers of one step, and the NLL of its tokens as the loss gave it, dropout included."""

    def __init__(self, step: int):
        self._step = step
        self.loss = self.norm = self.rate = float("nan")
        self._scored: list[tuple[Batch, Tensor, Tensor]] = []

    def on_step_start(self, trainer: TrainerView) -> None:
        inner: Any = trainer.forward_loss
        if trainer.step + 1 == self._step and hasattr(inner, "loss"):
            loss = inner.loss

            def recording(outputs: Outputs, batch: Batch) -> LossTerms:
                terms = loss(outputs, batch)
                self._scored.append((batch, terms.scores.mask.cpu(), terms.scores.nll.detach().double().cpu()))
                return terms

            recording.inputs = loss.inputs  # type: ignore[attr-defined]
            inner.loss = recording

    def on_backward_end(self, trainer: TrainerView) -> None:
        if trainer.step + 1 == self._step:
            self.loss, self.norm = float(trainer.step_loss), float(trainer.gradient_norm())
            self.rate = float(trainer.optimizer.param_groups[0]["lr"])

    def tokens(self, data: Any) -> Token:
        parts = [self._tokens_of(data, *scored) for scored in self._scored]
        columns = zip(*parts, strict=True) if parts else ([np.empty(0)], *[[np.empty(0, int)]] * 3)
        return Token(*(np.concatenate(column) for column in columns))

    @staticmethod
    def _tokens_of(data: Any, batch: Batch, mask: Tensor, nll: Tensor) -> Token:
        window, step, residue = torch.nonzero(mask, as_tuple=True)
        trajectories, last_frames = data.places("train", batch["window_ids"].cpu().numpy())
        rows = window.numpy()
        frames = np.asarray(last_frames)[rows] + 1 + step.numpy()
        return Token(nll[mask].numpy(), np.asarray(trajectories)[rows], frames, residue.numpy())


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Without the log of the hooks."""
    level = _log.level
    _log.setLevel(logging.WARNING)
    try:
        yield
    finally:
        _log.setLevel(level)

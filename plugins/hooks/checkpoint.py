"""Decides when checkpoints are written."""

import math
from pathlib import Path
from typing import Any

from emprot_core.checkpoint import CheckpointStore
from emprot_core.checkpoint.names import BEST, FINAL, numbered
from emprot_core.distributed import rank
from emprot_core.errors import EmprotError
from emprot_core.hooks.base import Hook, TrainerView
from emprot_core.registry import register


@register("hook")
class Checkpoint(Hook):
    """Writes a checkpoint every few steps, at the lowest val/total_loss (best.pt) and at the end (final.pt).

    The state of a step is stored in one file; best.pt and final.pt are further names of such a file. A run that is
    stopped early leaves a checkpoint of its last step.
    """

    state_names = ("lowest",)

    def __init__(
        self, every_steps: int | None = None, keep_last: int = 2, keep_best: int = 1, directory: str | None = None
    ):
        """
        Args:
            every_steps: optimizer steps between checkpoints; None writes only the best ones and the last one.
            keep_last: how many of the newest checkpoints are kept; with two, one is left if the newest is damaged.
            keep_best: 1 keeps best.pt; a larger number also keeps best-<step>.pt of that many best validations.
            directory: where checkpoints are written; `checkpoints` in the run directory by default.

        Raises:
            EmprotError: a number is below 1.
        """
        for name, value in (("every_steps", every_steps), ("keep_last", keep_last), ("keep_best", keep_best)):
            if value is not None and value < 1:
                raise EmprotError(f"{name} is {value}, expected 1 or more")
        self.every_steps, self.keep_last, self.keep_best = every_steps, keep_last, keep_best
        self.directory = directory
        self.lowest: list[list[float]] = []  # [val/total_loss, step] of the best validations, best first
        self._is_finished = False
        self._store: CheckpointStore | None = None

    def on_fit_start(self, trainer: TrainerView) -> None:
        run_directory = trainer.run.directory
        directory = self.directory or (run_directory and run_directory / "checkpoints")
        self._store = CheckpointStore(Path(directory)) if directory and not trainer.run.is_rehearsal else None
        if self._store is not None and rank() == 0:
            self._store.go_on_from(trainer.step, due=bool(trainer.due))

    def on_step_end(self, trainer: TrainerView) -> None:
        if self.every_steps and trainer.step % self.every_steps == 0:
            self._request(trainer)

    def on_validation_end(self, trainer: TrainerView) -> None:
        loss = trainer.val_logs["val/total_loss"]
        if not math.isnan(loss):
            self.lowest = sorted([*self.lowest, [loss, trainer.step]])[: self.keep_best]
        if trainer.step in [step for _, step in self.lowest]:
            self._request(trainer)

    def on_fit_end(self, trainer: TrainerView) -> None:
        self._is_finished = trainer.stop is None or trainer.stop.exit_status == 0
        self._request(trainer)

    def _request(self, trainer: TrainerView) -> None:
        if self._store is not None:
            trainer.request_save(self._write)

    def _write(self, state: dict[str, Any]) -> None:
        if self._store is None or rank() != 0:
            return
        best_steps = [int(step) for _, step in self.lowest]
        names = {numbered("best", step): step for step in best_steps} if self.keep_best > 1 else {}
        if best_steps:
            names[BEST] = best_steps[0]
        if self._is_finished:
            names[FINAL] = state["step"]
        self._store.save(state, names, self.keep_last)

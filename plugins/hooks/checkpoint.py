"""When checkpoints are written."""

import math
from pathlib import Path
from typing import Any

from emprot_core.checkpoint import BEST, FINAL, CheckpointStore, numbered
from emprot_core.distributed import rank
from emprot_core.hooks.base import Hook, TrainerView
from emprot_core.registry import register


@register("hook")
class Checkpoint(Hook):
    """A checkpoint every so many steps, best.pt on the lowest val/total_loss, final.pt at the end.

    A run that is stopped early leaves a checkpoint of its last step.
    """

    state_names = ("lowest", "due")

    def __init__(
        self, every_steps: int | None = None, keep_last: int = 2, keep_best: int = 1, directory: str | None = None
    ):
        """
        Args:
            every_steps: optimizer steps between checkpoints; None: only when training ends.
            keep_last: how many of them stay; two, so that one is left when the newest is damaged.
            keep_best: 1: best.pt; above: beside it, best-<step>.pt of so many validations with the lowest loss.
            directory: where; `checkpoints` in the run directory by default.

        Raises:
            ValueError: a number is below 1.
        """
        for name, value in (("every_steps", every_steps), ("keep_last", keep_last), ("keep_best", keep_best)):
            if value is not None and value < 1:
                raise ValueError(f"{name} is {value}, expected 1 or more")
        self.every_steps = every_steps
        self.keep_last = keep_last
        self.keep_best = keep_best
        self.directory = directory
        self.lowest: list[list[float]] = []  # [val/total_loss, step] of the best validations
        self.due: list[str] = []  # what this step's state is to be written as: BEST, FINAL, "best" or "step"
        self._store: CheckpointStore | None = None

    def on_fit_start(self, trainer: TrainerView) -> None:
        run_directory = trainer.run.directory
        directory = self.directory or (run_directory and run_directory / "checkpoints")
        self._store = CheckpointStore(Path(directory)) if directory else None
        if self._store is not None and trainer.step:
            trainer.request_save(self._complete)

    def on_step_end(self, trainer: TrainerView) -> None:
        if self.every_steps and trainer.step % self.every_steps == 0:
            self._request(trainer, "step")

    def on_validation_end(self, trainer: TrainerView) -> None:
        loss = trainer.val_logs["val/total_loss"]
        if trainer.is_best:
            self._request(trainer, BEST)
        if self.keep_best > 1 and not math.isnan(loss):
            self.lowest = sorted([*self.lowest, [loss, trainer.step]])[: self.keep_best]
            if trainer.step in self._best_steps():
                self._request(trainer, "best")

    def on_fit_end(self, trainer: TrainerView) -> None:
        self._request(trainer, "step")
        if trainer.stop is None or trainer.stop.exit_status == 0:
            self._request(trainer, FINAL)

    def _best_steps(self) -> list[int]:
        return [int(step) for _, step in self.lowest]

    def _request(self, trainer: TrainerView, what: str) -> None:
        if self._store is not None:
            self.due = sorted({*self.due, what})
            trainer.request_save(self._write)

    def _complete(self, state: dict[str, Any]) -> None:
        """Write what a kill left out of the files that were due at the step training goes on from."""
        assert self._store is not None
        step = state["step"]
        names = {what: what if what in (BEST, FINAL) else numbered(what, step) for what in self.due}
        self.due = [what for what, name in names.items() if not self._store.holds(name, step)]
        self._write(state)

    def _write(self, state: dict[str, Any]) -> None:
        assert self._store is not None
        due, self.due = self.due, []
        if rank() != 0:
            return
        step = state["step"]
        # best.pt first: a step checkpoint must never know of a best that is not on the disk.
        if BEST in due:
            self._store.save(BEST, state, state["best"]["val/total_loss"])
        if "best" in due:
            kept = {numbered("best", best) for best in self._best_steps()}
            outdated = {name for name in self._store.names() if name.startswith("best-")} - kept
            self._store.save(numbered("best", step), state, state["val_logs"]["val/total_loss"], outdated)
        if "step" in due:
            known = {*(name for name in self._store.names() if name.startswith("step-")), numbered("step", step)}
            self._store.save(numbered("step", step), state, outdated=sorted(known)[: -self.keep_last])
        if FINAL in due:
            self._store.save(FINAL, state)

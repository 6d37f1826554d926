"""When checkpoints are written."""

from pathlib import Path
from typing import Any

from emprot_core.checkpoint import BEST, FINAL, CheckpointStore
from emprot_core.distributed import rank
from emprot_core.hooks.base import Hook, TrainerView
from emprot_core.registry import register


@register("hook")
class Checkpoint(Hook):
    """A checkpoint every so many steps, best.pt on the lowest val/total_loss, final.pt at the end.

    A run that is stopped early leaves a checkpoint of its last step.
    """

    def __init__(self, every_steps: int | None = None, keep_last: int = 2, directory: str | None = None):
        """
        Args:
            every_steps: optimizer steps between checkpoints; None: only when training ends.
            keep_last: how many of them stay; two, so that one is left when the newest is damaged.
            directory: where; `checkpoints` in the run directory by default.

        Raises:
            ValueError: every_steps or keep_last is below 1.
        """
        for name, value in (("every_steps", every_steps), ("keep_last", keep_last)):
            if value is not None and value < 1:
                raise ValueError(f"{name} is {value}, expected 1 or more")
        self.every_steps = every_steps
        self.keep_last = keep_last
        self.directory = directory
        self._store: CheckpointStore | None = None
        self._due: set[str] = set()

    def on_fit_start(self, trainer: TrainerView) -> None:
        run_directory = trainer.run.directory
        directory = self.directory or (run_directory and run_directory / "checkpoints")
        self._store = CheckpointStore(Path(directory)) if directory and rank() == 0 else None

    def on_step_end(self, trainer: TrainerView) -> None:
        if self.every_steps and trainer.step % self.every_steps == 0:
            self._request(trainer, "step")

    def on_validation_end(self, trainer: TrainerView) -> None:
        if trainer.is_best:
            self._request(trainer, BEST)

    def on_fit_end(self, trainer: TrainerView) -> None:
        self._request(trainer, "step")
        if trainer.stop is None or trainer.stop.exit_status == 0:
            self._request(trainer, FINAL)

    def _request(self, trainer: TrainerView, what: str) -> None:
        if self._store is not None:
            self._due.add(what)
            trainer.request_save(self._write)

    def _write(self, state: dict[str, Any]) -> None:
        assert self._store is not None
        due, self._due = self._due, set()
        # best.pt first: a step checkpoint must never know of a best that is not on the disk.
        if BEST in due:
            self._store.save_named(BEST, state, state["step"], state["best"]["val/total_loss"])
        if "step" in due:
            self._store.save_step(state, state["step"], self.keep_last)
        if FINAL in due:
            self._store.save_named(FINAL, state, state["step"])

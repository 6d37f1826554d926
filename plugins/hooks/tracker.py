"""The base of hooks that send the numbers of a run to a tracker of experiments, such as wandb."""

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from emprot_core.checkpoint.appended import APPENDED
from emprot_core.distributed import rank
from emprot_core.hooks.base import Hook, TrainerView

from .tensorboard_tags import gains_of, test_scalars
from .tracked_points import TrackedPoints

_log = logging.getLogger("emprot")


class Tracker(Hook):
    """Sends each step of a run once, however often the run was killed. A tracker that fails is a warning.

    A subclass defines `begin`, `send` and `finish`, which only rank 0 calls. What they raise never stops the training.
    The points wait in <name of the class>.jsonl of the run directory, and a checkpoint that is written makes those up
    to its step final. Only these are sent, so no point is ever taken back.
    """

    waits_for_the_end = False
    """Whether the record cannot be asked what it has. It is then made as a whole, at the end of each start."""

    def __init__(self, directory: str | None = None, enabled: bool = True):
        """
        Args:
            directory: where the points and files of the tracker lie; the run directory by default.
            enabled: False does nothing.
        """
        self.directory, self.enabled = directory, enabled
        self._points: TrackedPoints | None = None
        self._final, self._sent = -1, -1  # the last step that a checkpoint made final; that was sent
        self._is_open = self._has_failed = False

    def begin(self, run_id: str, folder: Path, trainer: TrainerView) -> int:
        """Open the record of a run. Gives the last step that it has, -1 for none.

        With `waits_for_the_end` the record is new, and takes the place of an earlier one with this id.

        Args:
            run_id: eight letters and digits, the same for as long as the run goes on.
            folder: for files of the tracker.
        """
        raise NotImplementedError

    def send(self, step: int, values: Mapping[str, float]) -> None:
        """Send all numbers of a step. The steps come in their order."""
        raise NotImplementedError

    def finish(self, summary: Mapping[str, Any]) -> None:
        """Close the record. `summary` is what came out on the test split; it is empty if training did not end."""
        raise NotImplementedError

    def on_fit_start(self, trainer: TrainerView) -> None:
        self._look(trainer)
        if trainer.step == 0:
            self.load_state_dict({})

    def on_step_end(self, trainer: TrainerView) -> None:
        if self._points is not None and trainer.logs is not None:
            self._points.add(trainer.step, trainer.logs)

    def on_validation_end(self, trainer: TrainerView) -> None:
        if self._points is not None:
            gains = gains_of(trainer.val_logs, trainer.run.bar_nll_bits)
            self._points.add(trainer.step, {**trainer.val_logs, **gains})

    def on_save_end(self, trainer: TrainerView) -> None:
        self._final = trainer.step - bool(trainer.due)  # a validation that is due adds to the points of its step
        if not self.waits_for_the_end:
            self._send(trainer)

    def on_test_end(self, trainer: TrainerView) -> None:
        if self._points is not None and trainer.tested is not None:
            self._points.summarise({**test_scalars(trainer.tested), "test/verdict": trainer.tested.verdict})
            self._final = self._points.last
            self._end(trainer)

    def on_run_end(self, trainer: TrainerView) -> None:
        if self._points is None:  # the run was finished by an earlier start
            self._look(trainer)
            if self._points is not None:
                self._points.read()
        if self._points is not None and not trainer.due:
            self._final = self._points.last
        self._end(trainer)

    def on_exception(self, trainer: TrainerView) -> None:
        self._end(trainer)

    def state_dict(self) -> dict[str, Any]:
        measured = self._points.measure() if self._points is not None else {}
        return {APPENDED: measured} if measured else {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        if self._points is not None:
            self._points.cut_back(state.get(APPENDED, {}))

    def _look(self, trainer: TrainerView) -> None:
        """Read the points of earlier starts, if this process is to send any."""
        if self.enabled and rank() == 0 and not trainer.run.is_rehearsal:
            folder = self.directory or trainer.run.directory
            name = f"{type(self).__name__.lower()}.jsonl"
            self._points = TrackedPoints(Path(folder) if folder else None, name)

    def _send(self, trainer: TrainerView, is_last: bool = False) -> None:
        points = self._points
        if points is None or points.is_ended or not points.id:
            return
        try:
            if not self._is_open:
                self._sent = self.begin(points.id, points.folder or Path(), trainer)
                self._is_open = True
            for step in points.between(self._sent, self._final):
                self.send(step, points.values[step])
                self._sent = step
            if is_last:
                self._is_open = False
                self.finish(points.summary)
                points.end()
            self._has_failed = False
        except Exception as error:  # whatever it is: a run that trains for days must go on
            if not self._has_failed or is_last:
                again = "the same command sends it again" if is_last else "it is tried again after each checkpoint"
                _log.warning("%s fails: %s: %s; %s", type(self).__name__, type(error).__name__, error, again)
            self._is_open, self._has_failed = False, True

    def _end(self, trainer: TrainerView) -> None:
        self._send(trainer, is_last=True)

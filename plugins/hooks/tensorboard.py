"""Writes scalars, texts and pictures for TensorBoard."""

import logging
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

from emprot_core.checkpoint.appended import APPENDED, AppendedFiles
from emprot_core.contracts import Tested
from emprot_core.disk import sync_directory, sync_file
from emprot_core.distributed import rank
from emprot_core.files import sha256
from emprot_core.hooks.base import Hook, TrainerView
from emprot_core.registry import register

from .tensorboard_tags import FIRST, LAYOUT, gains_of, test_scalars

_log = logging.getLogger("emprot")


@register("hook")
class TensorBoard(Hook):
    """Writes scalars (skill/, train/, val/, test/, time/) by optimizer step, config, hparams and the test scores.

    A resumed run cuts off what the interrupted run wrote after its checkpoint, and makes open viewers drop it. The
    pictures at the end need matplotlib (extra `figures`); without it one line tells so.
    """

    def __init__(self) -> None:
        self._writer: Any = None
        self._files: AppendedFiles | None = None

    def on_fit_start(self, trainer: TrainerView) -> None:
        if trainer.run.directory is None or rank() != 0:
            return
        self._start = time.monotonic()
        self._files = AppendedFiles(trainer.run.directory, "events.out.tfevents*")
        self._first_step = trainer.step + 1 if trainer.step else 0
        if trainer.step == 0:
            self.load_state_dict({})
            with self._naming_the_file():
                self._open().add_text("config", f"```\n{trainer.run.config}\n```", 0)
                self._writer.add_custom_scalars(LAYOUT)
                self._write_hparams(trainer)

    def on_step_end(self, trainer: TrainerView) -> None:
        if trainer.logs is not None:
            self._write(trainer.logs, trainer.step)

    def on_validation_end(self, trainer: TrainerView) -> None:
        self._write(trainer.val_logs, trainer.step)
        self._write(gains_of(trainer.val_logs, trainer.run.bar_nll_bits), trainer.step)

    def on_fit_end(self, trainer: TrainerView) -> None:
        writer, self._writer = self._writer, None
        if writer is not None:
            with self._naming_the_file():
                writer.close()

    on_exception = on_fit_end

    def on_test_end(self, trainer: TrainerView) -> None:
        if self._files is None or trainer.tested is None:
            return
        self._first_step = trainer.step + 1  # of another file, which must not make viewers drop what this step gave
        self._write({**test_scalars(trainer.tested), "time/seconds": time.monotonic() - self._start}, trainer.step)
        with self._naming_the_file():
            if trainer.tested.scores is not None:
                self._writer.add_text("test/verdict", trainer.tested.verdict, trainer.step)
                self._writer.add_text("test/scores", f"```\n{trainer.tested.table}\n```", trainer.step)
                self._draw(trainer.tested, trainer.step)
        self.on_fit_end(trainer)
        path = self._files.directory / self._files.newest()
        sync_file(path)
        sync_directory(path.parent)
        trainer.tested.files[path.name] = sha256(path)

    def state_dict(self) -> dict[str, Any]:
        """How much the event files hold. They are flushed first, so they never hold less than a checkpoint says."""
        if self._writer is not None:
            with self._naming_the_file():
                self._writer.flush()
        measured = self._files.measure() if self._files is not None else {}
        return {APPENDED: measured} if measured else {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        if self._files is not None:
            self._files.cut_back(state.get(APPENDED, {}))

    def _open(self) -> Any:
        """The writer. The first call creates its file, after the files of earlier runs were cut back."""
        if self._writer is None and self._files is not None:
            from torch.utils.tensorboard import SummaryWriter  # slow to import, so only where it is used

            with _named_after(self._files.newest()):
                self._writer = SummaryWriter(str(self._files.directory), purge_step=self._first_step)
        return self._writer

    def _write_hparams(self, trainer: TrainerView) -> None:
        """What the run is told from others by.

        The record that names columns is left out: with it, HPARAMS shows the columns of one run only. Without it, the
        page has those of all runs, and every scalar to sort by.
        """
        from torch.utils.tensorboard.summary import hparams as summaries

        # SummaryWriter.add_hparams would start another run, so write its summaries into the file of this run.
        _, *of_the_run = summaries({name: _number(text) for name, text in trainer.run.hparams.items()}, {})
        for summary in of_the_run:
            self._writer.file_writer.add_summary(summary)

    def _write(self, scalars: Mapping[str, float], step: int) -> None:
        writer = self._open()
        if writer is not None:
            with self._naming_the_file():
                for tag, value in scalars.items():
                    writer.add_scalar(tag, value, step)
                    if tag in FIRST:
                        writer.add_scalar(FIRST[tag], value, step)

    def _draw(self, tested: Tested, step: int) -> None:
        pictures = {}
        try:
            from ._pictures import pictures_of

            if (seen := tested.look()) is not None:
                pictures = pictures_of(seen)
        except ModuleNotFoundError:
            _log.info("TensorBoard has no pictures, which need matplotlib: pip install 'emprot[figures]'")
        except Exception as error:  # whatever it is: a run that trained for days must end
            _log.warning("TensorBoard has no pictures: %s: %s", type(error).__name__, error)
        for tag, pixels in pictures.items():
            self._writer.add_image(f"windows/{tag}", pixels, step, dataformats="HWC")

    @contextmanager
    def _naming_the_file(self) -> Iterator[None]:
        """Add the file's name to a disk error: it comes from the writer's own thread, which does not name the file."""
        try:
            yield
        except OSError as error:
            assert self._files is not None
            raise OSError(error.errno, error.strerror, str(self._files.directory / self._files.pattern)) from error


@contextmanager
def _named_after(newest: str) -> Iterator[None]:
    """Let the next event file have a name that sorts after `newest`, even if the clock went back since.

    TensorBoard reads event files in the order of their names, which begin with the time in seconds.
    """
    from tensorboard.summary.writer import event_file_writer

    digits = newest.partition("tfevents.")[2].partition(".")[0]
    after = int(digits) + 1 if digits.isdigit() else 0
    clock = event_file_writer.time
    if time.time() < after:
        event_file_writer.time = SimpleNamespace(time=lambda: after)
    try:
        yield
    finally:
        event_file_writer.time = clock


def _number(text: str) -> float | str:
    try:
        return float(text)
    except ValueError:
        return text

"""Writes scalars for TensorBoard."""

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

from emprot_core.checkpoint.appended import APPENDED, AppendedFiles
from emprot_core.distributed import rank
from emprot_core.hooks.base import Hook, TrainerView
from emprot_core.registry import register


@register("hook")
class TensorBoard(Hook):
    """Writes scalars (train/, val/, skill/, time/) by optimizer step, the config and the hparams to the run directory.

    A resumed run cuts off what the interrupted run wrote after its checkpoint, and makes open viewers drop it.
    """

    def __init__(self) -> None:
        self._writer: Any = None
        self._files: AppendedFiles | None = None

    def on_fit_start(self, trainer: TrainerView) -> None:
        if trainer.run.directory is None or rank() != 0:
            return
        self._files = AppendedFiles(trainer.run.directory, "events.out.tfevents*")
        self._first_step = trainer.step + 1 if trainer.step else 0
        if trainer.step == 0:
            self.load_state_dict({})
            with self._naming_the_file():
                self._open().add_text("config", f"```\n{trainer.run.config}\n```", 0)
                self._write_hparams(trainer)

    def on_step_end(self, trainer: TrainerView) -> None:
        if trainer.logs is not None:
            self._write(trainer.logs, trainer.step)

    def on_validation_end(self, trainer: TrainerView) -> None:
        self._write(trainer.val_logs, trainer.step)
        self._write(_gains(trainer.val_logs, trainer.run.bar_nll_bits), trainer.step)

    def on_fit_end(self, trainer: TrainerView) -> None:
        writer, self._writer = self._writer, None
        if writer is not None:
            with self._naming_the_file():
                writer.close()

    on_exception = on_fit_end

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
        """What the run is told from others by, and the scalars that the HPARAMS page can sort by."""
        from torch.utils.tensorboard.summary import hparams as summaries

        bar = trainer.run.bar_nll_bits
        gains = [f"skill/gain_over_best/h{step}" for step in dict.fromkeys((1, len(bar))) if bar]
        metrics = dict.fromkeys(["val/total_loss", *gains], 0.0)
        # SummaryWriter.add_hparams would start another run, so write its summaries into the file of this run.
        for summary in summaries({name: _number(text) for name, text in trainer.run.hparams.items()}, metrics):
            self._writer.file_writer.add_summary(summary)

    def _write(self, scalars: dict[str, float], step: int) -> None:
        writer = self._open()
        if writer is not None:
            with self._naming_the_file():
                for tag, value in scalars.items():
                    writer.add_scalar(tag, value, step)

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


def _gains(val_logs: Mapping[str, float], bar: Sequence[float | None]) -> dict[str, float]:
    """The gain over the best baseline on the validation split, in bits, where metrics.HorizonNLL gives the NLL."""
    return {
        f"skill/gain_over_best/h{step}": bits - own
        for step, bits in enumerate(bar, 1)
        if bits is not None and (own := val_logs.get(f"val/nll_bits/h{step}")) is not None
    }


def _number(text: str) -> float | str:
    try:
        return float(text)
    except ValueError:
        return text

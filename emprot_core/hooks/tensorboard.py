"""Scalars for TensorBoard."""

from typing import Any

from emprot_core.distributed import rank
from emprot_core.hooks.base import Hook, TrainerView
from emprot_core.registry import register


@register("hook")
class TensorBoard(Hook):
    """Write scalars (train/, val/, time/), the config and the hparams into the run directory, by optimizer step.

    A resumed run purges what an interrupted one wrote past its checkpoint.
    """

    def __init__(self) -> None:
        self._writer: Any = None

    def on_fit_start(self, trainer: TrainerView) -> None:
        if trainer.run.directory is None or rank() != 0:
            return
        from torch.utils.tensorboard import SummaryWriter  # slow to import: only where it is used

        self._writer = SummaryWriter(str(trainer.run.directory), purge_step=trainer.step + 1 if trainer.step else None)
        if trainer.step == 0:
            self._writer.add_text("config", f"```\n{trainer.run.config}\n```", 0)
            self._write_hparams(trainer.run.hparams)

    def on_step_end(self, trainer: TrainerView) -> None:
        if trainer.logs is not None:
            self._write(trainer.logs, trainer.step)

    def on_validation_end(self, trainer: TrainerView) -> None:
        self._write(trainer.val_logs, trainer.step)

    def on_fit_end(self, trainer: TrainerView) -> None:
        if self._writer is not None:
            self._writer.close()
            self._writer = None

    on_exception = on_fit_end

    def state_dict(self) -> dict[str, Any]:
        """Nothing, but what was written is flushed: a checkpoint never knows more than the event file."""
        if self._writer is not None:
            self._writer.flush()
        return {}

    def _write_hparams(self, hparams: dict[str, str]) -> None:
        from torch.utils.tensorboard.summary import hparams as summaries

        # SummaryWriter.add_hparams would open a run of its own; its summaries belong into this run's file.
        for summary in summaries({name: _number(text) for name, text in hparams.items()}, {"val/total_loss": 0.0}):
            self._writer.file_writer.add_summary(summary)

    def _write(self, scalars: dict[str, float], step: int) -> None:
        if self._writer is not None:
            for tag, value in scalars.items():
                self._writer.add_scalar(tag, value, step)


def _number(text: str) -> float | str:
    try:
        return float(text)
    except ValueError:
        return text

"""Shows a person how training progresses."""

import logging
import sys
import time
from typing import Any

from emprot_core.distributed import rank
from emprot_core.hooks.base import Hook, TrainerView
from emprot_core.registry import register

_log = logging.getLogger("emprot")


@register("hook")
class Progress(Hook):
    """Shows a tqdm bar on a terminal (epoch, loss, tokens/s, time left) and plain log lines elsewhere."""

    def __init__(self) -> None:
        self._bar: Any = None
        self._start = (0.0, 0)

    def on_fit_start(self, trainer: TrainerView) -> None:
        self._start = (time.monotonic(), trainer.step)
        if rank() == 0 and sys.stderr.isatty():
            from tqdm import tqdm

            self._bar = tqdm(
                total=trainer.total_steps, initial=trainer.step, unit="step", dynamic_ncols=True, leave=False
            )

    def on_step_end(self, trainer: TrainerView) -> None:
        if self._bar is not None:
            self._bar.update(trainer.step - self._bar.n)
        if trainer.logs is None:
            return
        loss, rate = trainer.logs["train/total_loss"], trainer.logs["time/tokens_per_s"]
        if self._bar is not None:
            self._bar.set_description(f"epoch {trainer.epoch + 1}")
            self._bar.set_postfix_str(f"loss {loss:.4f}, {rate / 1e3:.1f}k tokens/s")
        elif rank() == 0:
            _log.info(
                "epoch %d  step %d/%d  loss %.4f  %.1fk tokens/s  %s left",
                *(trainer.epoch + 1, trainer.step, trainer.total_steps, loss, rate / 1e3, self._time_left(trainer)),
            )

    def on_validation_end(self, trainer: TrainerView) -> None:
        if rank() == 0:
            shown = [f"{key} {value:.4f}" for key, value in trainer.val_logs.items() if key.count("/") == 1]
            text = f"step {trainer.step}  {'  '.join(shown)}{'  (best)' if trainer.is_best else ''}"
            if self._bar is not None:
                self._bar.clear()
            _log.info(text)

    def on_fit_end(self, trainer: TrainerView) -> None:
        if self._bar is not None:
            self._bar.close()
            self._bar = None

    on_exception = on_fit_end

    def _time_left(self, trainer: TrainerView) -> str:
        began, first_step = self._start
        per_step = (time.monotonic() - began) / max(1, trainer.step - first_step)
        seconds = round(per_step * (trainer.total_steps - trainer.step))
        return f"{seconds // 60}:{seconds % 60:02d}"

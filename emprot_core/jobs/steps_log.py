"""steps.bin: loss and gradient norm of every optimizer step, to the bit, for --replay and for plots."""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from emprot_core.checkpoint.appended import APPENDED, AppendedFiles
from emprot_core.distributed import rank
from emprot_core.hooks.base import Hook, TrainerView

STEPS = "steps.bin"
STEP_DTYPE = np.dtype([("step", "<i8"), ("loss", "<f8"), ("gradient_norm", "<f8")])
"""A row: the step, from 1 on, the mean loss of the step in nats, and the norm of its gradients before clipping."""


def read_steps(directory: Path) -> np.ndarray:
    """The rows (STEP_DTYPE) that a run has written so far; none if there is no such file."""
    path = directory / STEPS
    if not path.is_file():
        return np.empty(0, STEP_DTYPE)
    return np.fromfile(path, STEP_DTYPE, count=path.stat().st_size // STEP_DTYPE.itemsize)


class StepsLog(Hook):
    """Collects both numbers on the device, and writes them when the trainer logs or saves.

    A resumed run first cuts off what was written after its checkpoint.
    """

    def __init__(self, directory: Path):
        self._file = AppendedFiles(directory, STEPS)
        self._waiting: list[tuple[int, Tensor, Tensor]] = []

    def on_fit_start(self, trainer: TrainerView) -> None:
        if trainer.step == 0:
            self.load_state_dict({APPENDED: {}})

    def on_backward_end(self, trainer: TrainerView) -> None:
        self._waiting.append((trainer.step + 1, trainer.step_loss, trainer.gradient_norm()))

    def on_step_end(self, trainer: TrainerView) -> None:
        if trainer.is_log_step:
            self._write()

    def state_dict(self) -> dict[str, Any]:
        self._write()
        return {APPENDED: self._file.measure()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        if rank() == 0:
            self._file.cut_back(state[APPENDED])

    def _write(self) -> None:
        waiting, self._waiting = self._waiting, []
        if rank() != 0 or not waiting:
            return
        numbers = torch.stack([number.double() for _, *pair in waiting for number in pair]).view(-1, 2).cpu().numpy()
        rows = np.empty(len(waiting), STEP_DTYPE)
        rows["step"] = [step for step, *_ in waiting]
        rows["loss"], rows["gradient_norm"] = numbers.T
        self._file.append(STEPS, rows.tobytes())

"""metrics.jsonl: one line for each validation, without clock times."""

import json
from pathlib import Path
from typing import Any

from emprot_core.checkpoint.appended import APPENDED, AppendedFiles
from emprot_core.distributed import rank
from emprot_core.hooks.base import Hook, TrainerView


class MetricsLog(Hook):
    """Appends step, epoch and val/ scalars. A resumed run first cuts off what was written after its checkpoint."""

    def __init__(self, path: Path):
        self.path = path
        self._file = AppendedFiles(path.parent, path.name)

    def on_fit_start(self, trainer: TrainerView) -> None:
        if trainer.step == 0:
            self.load_state_dict({APPENDED: {}})

    def on_validation_end(self, trainer: TrainerView) -> None:
        if rank() == 0:
            line = json.dumps({"step": trainer.step, "epoch": trainer.epoch, **trainer.val_logs}) + "\n"
            try:
                with self.path.open("a") as file:
                    file.write(line)
            except OSError as error:  # the error of a write does not name the file
                raise OSError(error.errno, error.strerror, str(self.path)) from error

    def state_dict(self) -> dict[str, Any]:
        return {APPENDED: self._file.measure()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        if rank() == 0:
            self._file.cut_back(state[APPENDED])

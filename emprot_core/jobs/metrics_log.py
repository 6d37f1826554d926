"""metrics.jsonl: one line for each validation, without clock times."""

import json
import logging
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

from emprot_core.checkpoint.appended import APPENDED, AppendedFiles
from emprot_core.distributed import rank
from emprot_core.hooks.base import Hook, TrainerView

_log = logging.getLogger("emprot")


class MetricsLog(Hook):
    """Appends step, epoch and val/ scalars. A resumed run first cuts off what was written after its checkpoint."""

    def __init__(self, path: Path, check: Callable[[], None]):
        """
        Args:
            check: called at every save; raises if the run must not write any more.
        """
        self.path, self._check = path, check
        self._file = AppendedFiles(path.parent, path.name)

    def on_fit_start(self, trainer: TrainerView) -> None:
        if trainer.step == 0:
            self.load_state_dict({APPENDED: {}})

    def on_validation_end(self, trainer: TrainerView) -> None:
        if rank() == 0:
            logs = {name: value if math.isfinite(value) else None for name, value in trainer.val_logs.items()}
            if lost := [name for name, value in logs.items() if value is None]:
                _log.warning("step %d: %s is not finite; metrics.jsonl says null", trainer.step, ", ".join(lost))
            line = json.dumps({"step": trainer.step, "epoch": trainer.epoch, **logs}) + "\n"
            self._file.append(self.path.name, line.encode())

    def state_dict(self) -> dict[str, Any]:
        self._check()
        return {APPENDED: self._file.measure()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        if rank() == 0:
            self._file.cut_back(state[APPENDED])

"""metrics.jsonl: one line per validation, without a clock in it."""

import json
import os
from pathlib import Path

from emprot_core.distributed import rank
from emprot_core.hooks.base import Hook, TrainerView


class MetricsLog(Hook):
    """Appends step, epoch and val/ scalars; a resumed run first cuts off what lies past its checkpoint."""

    def __init__(self, path: Path):
        self.path = path

    def on_fit_start(self, trainer: TrainerView) -> None:
        if rank() == 0 and self.path.exists():
            lines = self.path.read_text().splitlines(keepends=True)
            kept = [line for line in lines if line.endswith("\n") and json.loads(line)["step"] <= trainer.step]
            self.path.write_text("".join(kept))

    def on_validation_end(self, trainer: TrainerView) -> None:
        if rank() == 0:
            with self.path.open("a") as file:
                file.write(json.dumps({"step": trainer.step, "epoch": trainer.epoch, **trainer.val_logs}) + "\n")
                file.flush()
                os.fsync(file.fileno())

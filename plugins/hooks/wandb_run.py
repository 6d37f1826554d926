"""Weights & Biases."""

import importlib.util
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from emprot_core.files import set_aside
from emprot_core.hooks.base import TrainerView
from emprot_core.registry import register

from .tracker import Tracker


@register("hook")
class WandB(Tracker):
    """Sends all scalars to Weights & Biases (extra `wandb`), under one id for as long as the run goes on.

    Offline, the record is made at the end of each start, from all points so far: wandb/offline-run-<date>-<id> in the
    run directory, for `wandb sync`. The record of an earlier start is moved aside.
    """

    def __init__(
        self,
        project: str = "emprot",
        mode: Literal["online", "offline"] | None = None,
        directory: str | None = None,
        enabled: bool = True,
    ):
        """
        Args:
            project: the project of wandb that the run belongs to.
            mode: online sends to the server, offline writes files; by default what $WANDB_MODE says, else online.
            directory: where its files lie; the run directory by default, and else where wandb puts them.
            enabled: False does nothing.

        Raises:
            ModuleNotFoundError: wandb is not installed.
        """
        super().__init__(directory, enabled)
        self.project = project
        self.mode: Any = mode or os.environ.get("WANDB_MODE")
        self.waits_for_the_end = self.mode == "offline"
        self._run: Any = None
        if enabled and importlib.util.find_spec("wandb") is None:
            raise ModuleNotFoundError("WandB needs wandb; pip install 'emprot[wandb]'")

    def begin(self, run_id: str, folder: Path, trainer: TrainerView) -> int:
        import wandb  # slow to import, so only where it is used

        if self.waits_for_the_end:
            set_aside(folder / "wandb", sorted((folder / "wandb").glob(f"offline-run-*-{run_id}")))
        self._run = wandb.init(
            project=self.project,
            id=run_id,
            name=folder.name or None,
            dir=folder,
            mode=self.mode,
            resume=None if self.waits_for_the_end else "allow",
            config={**trainer.run.hparams, "config": trainer.run.config},
            settings=wandb.Settings(reinit="create_new", silent=True, console="off", x_disable_stats=True),
        )
        return self._run.starting_step - 1

    def send(self, step: int, values: Mapping[str, float]) -> None:
        self._run.log(dict(values), step=step)

    def finish(self, summary: Mapping[str, Any]) -> None:
        self._run.summary.update(dict(summary))
        self._run.finish()

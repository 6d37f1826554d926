"""Records a profile of a few steps."""

from typing import Any

import torch

from emprot_core.errors import EmprotError
from emprot_core.hooks.base import Hook, TrainerView
from emprot_core.registry import register


@register("hook")
class Profiler(Hook):
    """Traces a few steps with torch.profiler and writes profile.json.gz into the run directory.

    Open it in chrome://tracing or ui.perfetto.dev. The steps before first_step serve as the warm-up.
    """

    def __init__(self, first_step: int = 10, num_steps: int = 3):
        """
        Args:
            first_step: the first optimizer step that is traced, counted from 1.
            num_steps: how many steps are traced.

        Raises:
            EmprotError: a number is below 1.
        """
        for name, value in (("first_step", first_step), ("num_steps", num_steps)):
            if value < 1:
                raise EmprotError(f"Profiler.{name} is {value}, expected 1 or more")
        self.first_step = first_step
        self.num_steps = num_steps
        self._profile: Any = None

    def on_step_start(self, trainer: TrainerView) -> None:
        if trainer.step + 1 == self.first_step and trainer.run.directory is not None:
            activities = [torch.profiler.ProfilerActivity.CPU]
            if trainer.run.device.type == "cuda":
                activities.append(torch.profiler.ProfilerActivity.CUDA)
            self._profile = torch.profiler.profile(activities=activities)
            self._profile.start()

    def on_step_end(self, trainer: TrainerView) -> None:
        if trainer.step == self.first_step + self.num_steps - 1:
            self._write(trainer)

    def on_fit_end(self, trainer: TrainerView) -> None:
        self._write(trainer)

    on_exception = on_fit_end

    def _write(self, trainer: TrainerView) -> None:
        if self._profile is not None:
            profile, self._profile = self._profile, None
            profile.stop()
            assert trainer.run.directory is not None
            profile.export_chrome_trace(str(trainer.run.directory / "profile.json.gz"))

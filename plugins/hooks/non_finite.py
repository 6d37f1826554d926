"""Guards the weights against a loss or gradient that is not finite."""

import logging
import math
from itertools import chain
from typing import Any, NamedTuple

import torch
from torch import Tensor

from emprot_core.distributed import gather, rank
from emprot_core.errors import EmprotError
from emprot_core.files import write_hashed_json
from emprot_core.hooks.base import Hook, TrainerView
from emprot_core.registry import register

RING = 256
"""At most this many steps are remembered with their windows; then their flags are read in any case."""
_log = logging.getLogger("emprot")


class NonFiniteError(EmprotError):
    """A loss or gradient norm was NaN or infinite; the weights are still those from before that step."""

    page = "faults#not-finite"


class _Step(NamedTuple):
    number: int
    suspect: Tensor  # (), on the device; not finite if the loss or the gradient norm is not
    window_ids: list[Tensor]


@register("hook")
class NonFinite(Hook):
    """Withholds the update of a step whose loss or gradient norm is not finite; too many of them end training.

    On CUDA the flag stays on the device, where torch's fused optimizers read it as found_inf. The hook itself reads it
    at the next log step, so that nothing waits for the device; on a CPU it reads it at once. The windows of withheld
    steps, from all ranks, are written to non_finite.json in the run directory. A withheld step counts as a step, also
    for the scheduler.

    In float16 the scaler withholds steps whose gradients overflow and lowers its scale. This is normal, unless the
    loss itself is not finite or the scale falls below 1.
    """

    state_names = ("withheld", "num_reported")

    def __init__(self, max_skips: int = 0):
        """
        Args:
            max_skips: how many steps may be withheld before training ends; one more raises NonFiniteError.

        Raises:
            EmprotError: max_skips is negative.
        """
        if max_skips < 0:
            raise EmprotError(f"max_skips is {max_skips}, expected 0 (stop at the first) or more")
        self.max_skips = max_skips
        self.withheld: list[dict[str, Any]] = []  # {"step", "window_ids"}
        # How many of `withheld` were reported. Saving a checkpoint also reads the flags, so this can lag behind.
        self.num_reported = 0
        self._recent: list[_Step] = []

    def on_backward_end(self, trainer: TrainerView) -> None:
        suspect = trainer.step_loss
        if not trainer.scaler.is_enabled():
            suspect = suspect + trainer.gradient_norm()
            if not suspect.is_cuda and math.isfinite(suspect):
                return
            trainer.withhold_update(suspect)
        window_ids = [batch["window_ids"] for batch in trainer.micro_batches if "window_ids" in batch]
        self._recent.append(_Step(trainer.step + 1, suspect, window_ids))

    def on_step_end(self, trainer: TrainerView) -> None:
        if not (trainer.is_log_step or trainer.run.device.type == "cpu" or len(self._recent) == RING):
            return
        if trainer.scaler.is_enabled() and trainer.scaler.get_scale() < 1:
            last = self._recent[-1]
            self._recent[-1] = last._replace(suspect=torch.full_like(last.suspect, math.nan))
        self._report(trainer)

    def on_fit_end(self, trainer: TrainerView) -> None:
        self._report(trainer)

    def state_dict(self) -> dict[str, Any]:
        self._read_flags()
        return super().state_dict()

    def _read_flags(self) -> None:
        """Read the flags of the recent steps and add the steps that were withheld to `withheld`."""
        recent, self._recent = self._recent, []
        suspects = [step.suspect for step in recent]
        if len(suspects) > 1:  # one copy from the device for all of them
            suspects = torch.stack(suspects).tolist()
        bad = [step for step, suspect in zip(recent, suspects, strict=True) if not math.isfinite(suspect)]
        for step in bad:  # every rank finds the same steps, so all of them call gather equally often
            own = [int(i) for ids in step.window_ids for i in ids]
            self.withheld.append({"step": step.number, "window_ids": sorted(chain(*gather(own)))})

    def _report(self, trainer: TrainerView) -> None:
        self._read_flags()
        if len(self.withheld) == self.num_reported:
            return
        self.num_reported = len(self.withheld)
        where = ""
        if trainer.run.directory is not None:
            path = trainer.run.directory / "non_finite.json"
            where = f"; its windows are in {path}"
            if rank() == 0:
                write_hashed_json(path, {"withheld": self.withheld})
        step = self.withheld[-1]["step"]
        text = f"loss or gradient norm of optimizer step {step} is not finite, its update was withheld{where}"
        if len(self.withheld) > self.max_skips:
            raise NonFiniteError(
                f"{text}; lower the learning rate, look for broken values, or targets that all have weight 0, in those "
                f"windows, or allow more of them (NonFinite.max_skips is {self.max_skips})"
            )
        _log.warning("%s (%d of %d)", text, len(self.withheld), self.max_skips)

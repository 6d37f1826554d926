"""Automatic mixed precision."""

from functools import partial

import torch

from emprot_core.errors import EmprotError
from emprot_core.hooks.base import Hook, TrainerView
from emprot_core.registry import register


@register("hook")
class MixedPrecision(Hook):
    """Computes in bfloat16 where the device supports it, else in float16 with a gradient scaler.

    Without a dtype it is used on CUDA only: on a CPU it costs more time than it saves.
    """

    def __init__(self, dtype: str | None = None):
        """
        Args:
            dtype: "bfloat16" or "float16", on any device; "float32" switches it off; None chooses by the device.

        Raises:
            EmprotError: dtype is none of these.
        """
        if dtype not in (None, "bfloat16", "float16", "float32"):
            raise EmprotError(
                f'dtype is {dtype!r}, expected "bfloat16", "float16" or "float32", or None to choose by the device'
            )
        self.dtype = dtype

    def on_fit_start(self, trainer: TrainerView) -> None:
        device = trainer.run.device.type
        if self.dtype == "float32" or (self.dtype is None and device != "cuda"):
            return
        dtype = getattr(torch, self.dtype) if self.dtype else _best_dtype()
        trainer.autocast = partial(torch.autocast, device, dtype=dtype)
        trainer.scaler = torch.amp.GradScaler(device, enabled=dtype is torch.float16)


def _best_dtype() -> torch.dtype:
    return torch.bfloat16 if torch.cuda.is_bf16_supported() else torch.float16

"""Trained models as a forecaster of batches."""

from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from emprot_core.batch import Batch, move_batch, target_mask
from emprot_core.contracts import Outputs, Prediction

MODEL = "model"
Forward = Callable[[Batch], Outputs]
"""Maps a batch on the device to outputs with cluster_logits (B, F, N, C)."""


class ModelForecast:
    """What a model predicts, or the mean probability of several models.

    The logits of the last batch are kept, because a batch is asked about several times.
    """

    name = MODEL

    def __init__(self, forwards: Sequence[Forward], device: torch.device, temperatures: Sequence[float] | None = None):
        """
        Args:
            forwards: one for each model; the caller puts the models into evaluation mode.
            temperatures: (F,) by which the logits are divided; None means 1.
        """
        self._forwards, self.device = forwards, device
        self._temperatures = None if temperatures is None else torch.tensor(temperatures)
        self._last: tuple[Batch, Tensor] | None = None

    @torch.inference_mode()
    def predict(self, batch: Batch) -> Prediction:
        """The forecast at the valid targets of a batch."""
        predicted, nll = _read_logits(self.logits(batch), batch)
        return Prediction(predicted.cpu().numpy(), nll.cpu().numpy())

    @torch.inference_mode()
    def probabilities(self, batch: Batch, horizon: int) -> np.ndarray:
        """(B, N, C) float32: p(y) of every residue, `horizon` frames after the last input frame."""
        return self.logits(batch)[:, horizon - 1].float().softmax(dim=-1).cpu().numpy()

    @torch.inference_mode()
    def logits(self, batch: Batch) -> Tensor:
        """(B, F, N, C) on the device; of several models the log of the mean probability."""
        if self._last is not None and self._last[0] is batch:
            return self._last[1]
        self._last = None  # before the next logits are made: both might not fit
        on_device = move_batch(batch, self.device)
        logits = self._forwards[0](on_device)["cluster_logits"]
        if len(self._forwards) > 1:
            logits = logits.float().log_softmax(dim=-1)
            for forward in self._forwards[1:]:
                other = forward(on_device)["cluster_logits"].float().log_softmax(dim=-1)
                torch.logaddexp(logits, other, out=logits)
        if self._temperatures is not None:
            logits = logits / self._temperatures.to(logits)[:, None, None]
        self._last = (batch, logits)
        return logits


def _read_logits(logits: Tensor, batch: Batch) -> tuple[Tensor, Tensor]:
    mask, targets = target_mask(batch).to(logits.device), batch["future_cluster_ids"].to(logits.device)
    predicted = torch.zeros_like(targets)
    nll = torch.zeros(targets.shape, device=targets.device)
    for step in range(targets.shape[1]):  # one horizon at a time: a float32 copy of all logits may take gigabytes
        counted = mask[:, step]
        chosen = logits[:, step][counted].float()
        predicted[:, step][counted] = chosen.argmax(dim=-1)
        nll[:, step][counted] = functional.cross_entropy(chosen, targets[:, step][counted], reduction="none")
    return predicted, nll

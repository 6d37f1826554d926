"""A trained model as a forecaster of batches, like a baseline."""

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional

from emprot_core.batch import Batch, move_batch, target_mask
from emprot_core.contracts import Outputs, Prediction


def model_forecaster(forward: Callable[[Batch], Outputs], device: torch.device) -> Callable[[Batch], Prediction]:
    """Make a function that gives what a model predicts at the valid targets of a batch.

    Args:
        forward: maps a batch on the device to outputs with cluster_logits (B, F, N, C). The caller puts the model in
            evaluation mode.
    """

    @torch.inference_mode()
    def predict(batch: Batch) -> Prediction:
        on_device = move_batch(batch, device)
        predicted, nll = _read_logits(forward(on_device)["cluster_logits"], on_device)
        return Prediction(predicted.cpu().numpy(), nll.cpu().numpy())

    return predict


def _read_logits(logits: Tensor, batch: Batch) -> tuple[Tensor, Tensor]:
    mask, targets = target_mask(batch), batch["future_cluster_ids"]
    predicted = torch.zeros_like(targets)
    nll = torch.zeros(targets.shape, device=targets.device)
    for step in range(targets.shape[1]):  # one horizon at a time: a float32 copy of all logits may take gigabytes
        counted = mask[:, step]
        chosen = logits[:, step][counted].float()
        predicted[:, step][counted] = chosen.argmax(dim=-1)
        nll[:, step][counted] = functional.cross_entropy(chosen, targets[:, step][counted], reduction="none")
    return predicted, nll

"""Gradients of a loss that is a sum over micro-batches and ranks, divided by its weight over all of them."""

import math
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import Any

import torch
from torch import Tensor, nn

from emprot_core.batch import Batch
from emprot_core.distributed import max_over_ranks, sum_over_ranks, world_size
from emprot_core.training.sums import MetricSums


def nominal_weight(micro_batches: Sequence[Batch]) -> float:
    """About the weight of an optimizer step, over all ranks: a constant to divide by before the weight is known.

    It keeps the gradients in the range of fp16. As a power of two it changes no digit of them.
    """
    positions = sum(batch["future_cluster_ids"].numel() for batch in micro_batches)
    (most,) = max_over_ranks([positions])
    return 2.0 ** round(math.log2(most * world_size()))


def backward(
    forward_loss: nn.Module,
    micro_batches: Sequence[Batch],
    autocast: Callable[[], AbstractContextManager[Any]],
    scaler: torch.amp.GradScaler,
    divisor: float,
) -> MetricSums:
    """Add the gradients of (sum of the loss) / divisor of this rank's micro-batches.

    Returns:
        The sums and weights of loss and metrics over all ranks.
    """
    sums = MetricSums()
    for batch in micro_batches:
        with autocast():
            loss_sum, _, metrics = forward_loss(batch)
        # From 1 / divisor on, where a division would be one operation more each way.
        scaler.scale(loss_sum).backward(torch.full_like(loss_sum, 1 / divisor))
        sums.add(metrics)
    return sums.over_ranks()


def gradients_of(parameters: Sequence[nn.Parameter]) -> list[Tensor]:
    """The gradients of parameters, 0 where there was none yet. They stay where they are from now on."""
    for parameter in parameters:
        if parameter.grad is None:
            parameter.grad = torch.zeros_like(parameter)
    return [parameter.grad for parameter in parameters if parameter.grad is not None]


def sum_gradients_over_ranks(gradients: Sequence[Tensor]) -> None:
    """Replace every gradient by its sum over the ranks, in one reduction for each dtype.

    Why not torch's DistributedDataParallel: it lays its buckets out anew after the first step, and with three or more
    ranks the order of a sum, so its last bit, follows the layout: a resumed run would differ from an uninterrupted
    one. It also divides by the number of ranks, which is not wanted here.
    """
    if world_size() == 1:
        return
    for dtype in dict.fromkeys(gradient.dtype for gradient in gradients):
        alike = [gradient for gradient in gradients if gradient.dtype == dtype]
        packed = sum_over_ranks(torch.cat([gradient.flatten() for gradient in alike]))
        parts = packed.split([gradient.numel() for gradient in alike])
        torch._foreach_copy_(alike, [part.view_as(g) for part, g in zip(parts, alike, strict=True)])


def divide_gradients(gradients: list[Tensor], divisor: Tensor) -> Tensor:
    """Divide all gradients by a divisor () and give their total L2 norm ()."""
    torch._foreach_div_(gradients, divisor.to(gradients[0].dtype))
    return torch.linalg.vector_norm(torch.stack(torch._foreach_norm(gradients)))

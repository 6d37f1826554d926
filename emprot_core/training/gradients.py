"""Gradients of a loss that is a sum over micro-batches and ranks, divided by its weight over all of them."""

import math
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager

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
    autocast: Callable[[], AbstractContextManager],
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
        scaler.scale(loss_sum / divisor).backward()
        sums.add(metrics)
    return sums.over_ranks()


def sum_gradients_over_ranks(parameters: Sequence[nn.Parameter]) -> None:
    """Replace every gradient by its sum over the ranks, in one reduction; an unused parameter has a gradient of 0.

    Why not torch's DistributedDataParallel: it lays its buckets out anew after the first step, and with three or more
    ranks the order of a sum, so its last bit, follows the layout: a resumed run would differ from an uninterrupted
    one. It also divides by the number of ranks, which is not wanted here.
    """
    for parameter in parameters:
        if parameter.grad is None:
            parameter.grad = torch.zeros_like(parameter)
    if world_size() == 1:
        return
    for dtype in dict.fromkeys(parameter.dtype for parameter in parameters):
        gradients = [p.grad for p in parameters if p.grad is not None and p.dtype == dtype]
        packed = sum_over_ranks(torch.cat([gradient.flatten() for gradient in gradients]))
        parts = packed.split([gradient.numel() for gradient in gradients])
        torch._foreach_copy_(gradients, [p.view_as(g) for p, g in zip(parts, gradients, strict=True)])


def scale_gradients(parameters: Sequence[nn.Parameter], factor: Tensor) -> Tensor:
    """Multiply all gradients by a factor () and give their total L2 norm ()."""
    gradients = [p.grad for p in parameters if p.grad is not None]
    torch._foreach_mul_(gradients, factor.to(gradients[0].dtype))
    return torch.nn.utils.get_total_norm(gradients)

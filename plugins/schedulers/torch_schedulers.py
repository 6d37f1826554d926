"""Learning rate as a closed form of the optimizer step, so that a resumed run has the same rate."""

import math
from collections.abc import Callable

from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR

from emprot_core.registry import register


@register("scheduler")
def cosine_with_warmup(
    optimizer: Optimizer, num_steps: int, warmup_proportion: float = 0.1, min_lr: float = 0.0
) -> LambdaLR:
    """Linear warmup over a share of the steps, then half a cosine down to min_lr (Loshchilov & Hutter 2017).

    Raises:
        ValueError: warmup_proportion lies outside [0, 1], or min_lr is above the learning rate.
    """
    if not 0 <= warmup_proportion <= 1:
        raise ValueError(f"warmup_proportion is {warmup_proportion}, expected 0 to 1: a share of the run's steps")
    num_warmup = round(warmup_proportion * num_steps)

    def factor_from(floor: float) -> Callable[[int], float]:
        def factor(step: int) -> float:
            if step < num_warmup:
                return (step + 1) / num_warmup
            progress = min(1.0, (step - num_warmup) / max(1, num_steps - num_warmup))
            return floor + (1 - floor) * 0.5 * (1 + math.cos(math.pi * progress))

        return factor

    floors = []
    for group in optimizer.param_groups:
        if min_lr > group["lr"]:
            raise ValueError(f"min_lr is {min_lr}, above the learning rate {group['lr']}; lower min_lr")
        floors.append(min_lr / group["lr"] if group["lr"] else 0.0)
    return LambdaLR(optimizer, [factor_from(floor) for floor in floors])


@register("scheduler")
def step(optimizer: Optimizer, num_steps: int, drop_every: float = 0.3, factor: float = 0.1) -> LambdaLR:
    """Multiply the learning rate by `factor` after every share `drop_every` of the run's steps.

    Raises:
        ValueError: drop_every is not above 0.
    """
    if drop_every <= 0:
        raise ValueError(f"drop_every is {drop_every}, expected a share of the run's steps above 0")
    length = max(1, round(drop_every * num_steps))
    return LambdaLR(optimizer, lambda index: factor ** (index // length))


@register("scheduler")
def constant(optimizer: Optimizer, num_steps: int) -> LambdaLR:
    """The learning rate as it is."""
    return LambdaLR(optimizer, lambda index: 1.0)

"""A scheduler: a function that the trainer calls with the optimizer and the number of optimizer steps."""

import torch
from torch.optim.lr_scheduler import LambdaLR

from emprot_core import register


@register("scheduler")
def template_scheduler(optimizer: torch.optim.Optimizer, num_steps: int, last: float = 0.1) -> LambdaLR:
    """A learning rate that falls in a straight line to a share of itself."""
    return LambdaLR(optimizer, lambda step: 1 - (1 - last) * min(1.0, step / num_steps))

"""What changes the weights: optimizers and the schedulers of their learning rate, both bound as factories."""

from collections.abc import Callable
from typing import Protocol, runtime_checkable

import torch
from torch import nn

Optimizer = Callable[[list[tuple[str, nn.Parameter]]], torch.optim.Optimizer]
Scheduler = Callable[[torch.optim.Optimizer, int], torch.optim.lr_scheduler.LRScheduler]


@runtime_checkable
class Flattens(Protocol):
    """An optimizer that updates each number independently of all others, so that it can step flat tensors."""

    def flatten(self) -> None:
        """Called once, before the first step: step flat tensors, and make parameters and gradients views of them."""

"""What tests of optimizers and schedulers share."""

import torch
from torch import nn

from emprot_core import registry


def optimizer(name: str, named=None, **options) -> torch.optim.Optimizer:
    return registry.get("optimizer", name)(named or [("w", nn.Parameter(torch.ones(2, 2)))], **options)


def small_model() -> nn.Module:
    """Matrices, biases, norms and an embedding."""
    torch.manual_seed(0)
    return nn.Sequential(nn.Embedding(5, 4), nn.Linear(4, 3), nn.LayerNorm(3))


def train_step(model: nn.Module, steps: torch.optim.Optimizer, ids: list[int]) -> None:
    steps.zero_grad()
    model(torch.tensor(ids)).square().sum().backward()
    steps.step()


def rates(name: str, num_steps: int, **options) -> list[float]:
    """The learning rate of each optimizer step."""
    sgd = optimizer("sgd", learning_rate=1.0)
    scheduler = registry.get("scheduler", name)(sgd, num_steps, **options)
    seen = []
    for _ in range(num_steps):
        seen.append(sgd.param_groups[0]["lr"])
        sgd.step()
        scheduler.step()
    return seen

"""What tests of optimizers and schedulers share."""

from collections.abc import Callable
from pathlib import Path

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


def assert_goes_on_to_the_bit(
    make: Callable[[nn.Module], torch.optim.Optimizer],
    step: Callable[[nn.Module, torch.optim.Optimizer, list[int]], None],
    path: Path,
) -> None:
    """Training that was kept in a file and taken up again equals training that went on."""
    model = small_model()
    first = make(model)
    for index in range(3):
        step(model, first, [0, index])
    torch.save({"model": model.state_dict(), "optimizer": first.state_dict()}, path)
    saved = torch.load(path, weights_only=True)
    again = small_model()
    again.load_state_dict(saved["model"])
    second = make(again)
    second.load_state_dict(saved["optimizer"])
    for index in range(3):
        step(model, first, [1, index])
        step(again, second, [1, index])
    assert all(torch.equal(a, b) for a, b in zip(model.parameters(), again.parameters(), strict=True))


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

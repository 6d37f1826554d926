"""Optimizers and schedulers: which parameters decay, and which rate each step has."""

import copy
import math

import pytest
import torch
from torch import nn

from emprot_core import registry


def optimizer(name: str, named=None, **options) -> torch.optim.Optimizer:
    return registry.get("optimizer", name)(named or [("w", nn.Parameter(torch.ones(2, 2)))], **options)


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


@pytest.mark.parametrize("name", ["adamw", "adam", "sgd"])
def test_biases_and_norms_do_not_decay(name: str) -> None:
    model = nn.Sequential(nn.Linear(3, 3), nn.LayerNorm(3))
    named = [*model.named_parameters(), ("output_bias", nn.Parameter(torch.ones(2, 3)))]
    groups = optimizer(name, named, weight_decay=0.1).param_groups
    assert [(len(g["params"]), g["weight_decay"]) for g in groups] == [(1, 0.1), (4, 0.0)]


@pytest.mark.parametrize("name", ["adamw", "adam", "sgd"])
def test_optimizers_go_downhill(name: str) -> None:
    parameter = nn.Parameter(torch.full((2, 2), 3.0))
    steps = optimizer(name, [("w", parameter)], learning_rate=0.1)
    for _ in range(200):
        steps.zero_grad()
        parameter.square().sum().backward()
        steps.step()
    assert float(parameter.detach().abs().max()) < 0.1


def test_the_first_adamw_step_is_the_learning_rate_plus_decay() -> None:
    parameter = nn.Parameter(torch.full((2, 2), 3.0))
    parameter.grad = torch.full((2, 2), 5.0)
    optimizer("adamw", [("w", parameter)], learning_rate=0.1, weight_decay=0.01).step()
    torch.testing.assert_close(parameter.data, torch.full((2, 2), 3.0 * (1 - 0.1 * 0.01) - 0.1))


def test_cosine_warms_up_linearly_and_falls_to_the_floor() -> None:
    seen = rates("cosine_with_warmup", 110, warmup_proportion=10 / 110, min_lr=0.01)
    assert seen[:10] == pytest.approx([(i + 1) / 10 for i in range(10)])
    assert seen[10] == pytest.approx(1.0)
    assert seen[60] == pytest.approx(0.01 + 0.99 * 0.5)
    assert seen[-1] == pytest.approx(0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * 0.99)))


def test_step_drops_by_its_factor() -> None:
    assert rates("step", 10, drop_every=0.5, factor=0.1) == pytest.approx([1.0] * 5 + [0.1] * 5)


def test_constant_stays() -> None:
    assert rates("constant", 5) == [1.0] * 5


@pytest.mark.parametrize("name", ["cosine_with_warmup", "step", "constant"])
def test_a_restored_scheduler_has_the_same_rates(name: str) -> None:
    make = registry.get("scheduler", name)
    sgd = optimizer("sgd", learning_rate=1.0)
    first = make(sgd, 20)
    for _ in range(7):
        sgd.step()
        first.step()
    states = copy.deepcopy((sgd.state_dict(), first.state_dict()))
    again = optimizer("sgd", learning_rate=1.0)
    second = make(again, 20)
    again.load_state_dict(states[0])
    second.load_state_dict(states[1])
    for _ in range(13):
        assert again.param_groups[0]["lr"] == sgd.param_groups[0]["lr"]
        for each, scheduler in ((sgd, first), (again, second)):
            each.step()
            scheduler.step()


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("cosine_with_warmup", {"warmup_proportion": 1.5}, "warmup_proportion is 1.5"),
        ("cosine_with_warmup", {"min_lr": 2.0}, "above the learning rate"),
        ("step", {"drop_every": 0.0}, "drop_every is 0.0"),
    ],
)
def test_impossible_schedules_are_refused(name: str, options, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        rates(name, 10, **options)

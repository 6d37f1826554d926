"""Schedulers: which rate each step has."""

import copy
import math

import pytest
import torch
from optimizing import optimizer, rates

from emprot_core import registry

SCHEDULERS = ["constant", "cosine_with_warmup", "linear", "one_cycle", "step", "warmup_stable_decay"]


def test_cosine_warms_up_linearly_and_falls_to_the_floor() -> None:
    seen = rates("cosine_with_warmup", 110, warmup_proportion=10 / 110, min_lr=0.01)
    assert seen[:10] == pytest.approx([(i + 1) / 10 for i in range(10)])
    assert seen[10] == pytest.approx(1.0)
    assert seen[60] == pytest.approx(0.01 + 0.99 * 0.5)
    assert seen[-1] == pytest.approx(0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * 0.99)))


def test_linear_falls_on_a_straight_line() -> None:
    seen = rates("linear", 110, warmup_proportion=10 / 110, min_lr=0.2)
    assert seen[:10] == pytest.approx([(i + 1) / 10 for i in range(10)])
    assert seen[10:] == pytest.approx([1 - 0.8 * i / 100 for i in range(100)])


def test_warmup_stable_decay_holds_and_then_falls_as_a_root() -> None:
    seen = rates("warmup_stable_decay", 100, warmup_proportion=0.1, decay_proportion=0.25, min_lr=0.1)
    assert seen[:10] == pytest.approx([(i + 1) / 10 for i in range(10)])
    assert seen[10:76] == pytest.approx([1.0] * 66)
    assert seen[76:] == pytest.approx([0.1 + 0.9 * (1 - math.sqrt(i / 25)) for i in range(1, 25)])


@pytest.mark.parametrize(
    ("warmup", "decay", "wanted"),
    [(0.0, 0.0, [1.0] * 4), (0.5, 0.5, [0.5, 1.0, 1.0, 1 - math.sqrt(0.5)]), (1.0, 0.0, [0.25, 0.5, 0.75, 1.0])],
)
def test_warmup_stable_decay_may_lack_a_phase(warmup: float, decay: float, wanted: list[float]) -> None:
    assert rates("warmup_stable_decay", 4, warmup_proportion=warmup, decay_proportion=decay) == pytest.approx(wanted)


@pytest.mark.parametrize(("num_steps", "share"), [(100, 0.3), (37, 0.25), (10, 0.9)])
def test_one_cycle_is_that_of_torch(num_steps: int, share: float) -> None:
    sgd = optimizer("sgd", learning_rate=1.0)
    torchs = torch.optim.lr_scheduler.OneCycleLR(
        sgd,
        max_lr=1.0,
        total_steps=num_steps,
        pct_start=share,
        cycle_momentum=False,
        div_factor=10,
        final_div_factor=100,
    )
    wanted = []
    for _ in range(num_steps - 1):
        wanted.append(sgd.param_groups[0]["lr"])
        sgd.step()
        torchs.step()
    wanted.append(sgd.param_groups[0]["lr"])
    seen = rates("one_cycle", num_steps, warmup_proportion=share, div_factor=10.0, final_div_factor=100.0)
    assert seen == pytest.approx(wanted, rel=1e-9)


@pytest.mark.parametrize("name", SCHEDULERS)
@pytest.mark.parametrize("num_steps", [1, 2, 3])
def test_the_shortest_runs_have_finite_rates(name: str, num_steps: int) -> None:
    assert all(0 <= rate <= 1 for rate in rates(name, num_steps))


def test_step_drops_by_its_factor() -> None:
    assert rates("step", 10, drop_every=0.5, factor=0.1) == pytest.approx([1.0] * 5 + [0.1] * 5)


def test_constant_stays() -> None:
    assert rates("constant", 5) == [1.0] * 5


@pytest.mark.parametrize("name", SCHEDULERS)
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
        ("linear", {"warmup_proportion": -0.1}, "warmup_proportion is -0.1"),
        ("one_cycle", {"div_factor": 0.5}, "div_factor is 0.5"),
        ("step", {"drop_every": 0.0}, "drop_every is 0.0"),
        ("warmup_stable_decay", {"decay_proportion": 2.0}, "decay_proportion is 2.0"),
        ("warmup_stable_decay", {"warmup_proportion": 0.6, "decay_proportion": 0.6}, "expected at most 1"),
    ],
)
def test_impossible_schedules_are_refused(name: str, options, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        rates(name, 10, **options)

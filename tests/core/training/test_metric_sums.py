"""Metrics as sums and weights in one vector."""

import pytest
import torch

from emprot_core.training.sums import MetricSums


def terms(total: float, weight: int, per_horizon: list[float]) -> dict:
    return {
        "loss": (torch.tensor(total), torch.tensor(weight)),
        "nll": (torch.tensor(per_horizon), torch.tensor([weight] * len(per_horizon))),
    }


def test_means_are_sums_over_weights_per_horizon_too() -> None:
    sums = MetricSums()
    sums.add(terms(3.0, 2, [1.0, 2.0]))
    sums.add(terms(1.0, 6, [3.0, 6.0]))
    assert sums.means("val/") == {"val/loss": 0.5, "val/nll/h1": 0.5, "val/nll/h2": 1.0}
    assert (float(sums.total("loss")), float(sums.weight("loss"))) == (4.0, 8.0)


def test_sums_are_float64_and_count_beyond_float32() -> None:
    sums = MetricSums()
    big = 2**24 + 1  # which float32 cannot hold
    sums.add({"count": (torch.tensor(big), torch.tensor(1.0))})
    assert int(sums.total("count")) == big


def test_adding_to_sums_leaves_those_that_were_added_alone() -> None:
    one, many = MetricSums(), MetricSums()
    one.add(terms(1.0, 1, [1.0]))
    for _ in range(3):
        many.add_sums(one)
    assert many.total("loss") == 3
    assert one.total("loss") == 1


def test_nothing_added_means_nothing() -> None:
    sums = MetricSums()
    sums.add({})
    sums.add_sums(MetricSums())
    assert sums.means() == {}
    assert sums.state_dict() == {}


def test_a_state_goes_on_to_the_bit() -> None:
    sums, again = MetricSums(), MetricSums()
    sums.add(terms(0.1, 3, [0.2, 0.3]))
    again.load_state_dict(sums.state_dict(), torch.device("cpu"))
    for each in (sums, again):
        each.add(terms(0.7, 3, [0.1, 0.4]))
    assert sums.means() == again.means()


def test_other_metrics_than_before_are_added_by_their_names() -> None:
    sums = MetricSums()
    sums.add({"a": (torch.tensor(1.0), torch.tensor(1.0)), "b": (torch.tensor([2.0, 4.0]), torch.tensor([1.0, 1.0]))})
    sums.add({"b": (torch.tensor([2.0, 0.0]), torch.tensor([1.0, 1.0])), "c": (torch.tensor(5.0), torch.tensor(1.0))})
    assert sums.means() == {"a": 1.0, "b/h1": 2.0, "b/h2": 2.0, "c": 5.0}
    with pytest.raises(KeyError):
        sums.total("d")

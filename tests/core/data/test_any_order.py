"""The order of an epoch for any size, seed and number of ranks: every window once, wherever it is entered."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from emprot_core.data.order import EpochOrder, WeightedOrder, draws_of_epoch

SETTINGS = settings(max_examples=150, deadline=None, derandomize=True, database=None)


@SETTINGS
@given(size=st.integers(1, 400), seed=st.integers(0, 2**40), epoch=st.integers(0, 2**20), data=st.data())
def test_any_cut_of_an_epoch_shows_every_item_once(size: int, seed: int, epoch: int, data: st.DataObject) -> None:
    cuts = sorted(data.draw(st.lists(st.integers(0, size), max_size=4)))
    parts = np.split(np.arange(size), cuts)
    seen = np.concatenate([EpochOrder(size, seed, epoch)(part) for part in parts])
    assert sorted(seen.tolist()) == list(range(size))


@SETTINGS
@given(
    runs=st.lists(
        st.tuples(st.integers(0, 30), st.sampled_from([0.0, 0.25, 0.5, 1.0, 1.5, 3.0])), min_size=1, max_size=6
    ),
    seed=st.integers(0, 2**40),
)
def test_an_item_comes_as_often_as_its_weight_says_rounded_up_or_down(runs: list[tuple[int, float]], seed: int) -> None:
    counts, weights = np.array([count for count, _ in runs]), np.array([weight for _, weight in runs])
    draws = draws_of_epoch(counts, weights)
    if not draws:
        return
    drawn = WeightedOrder(counts, weights, seed, 0)(np.arange(draws))
    assert drawn.tolist() == WeightedOrder(counts, weights, seed, 0)(np.arange(draws)).tolist()
    times = np.bincount(drawn, minlength=counts.sum())
    wanted = np.repeat(weights, counts) * draws / (counts * weights).sum()
    assert (times >= np.floor(wanted - 1e-9)).all()
    assert (times <= np.ceil(wanted + 1e-9)).all()

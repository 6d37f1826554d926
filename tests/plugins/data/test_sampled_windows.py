"""Of a large split, a sample of the windows is fitted and scored; a small one is used whole."""

import numpy as np
import pytest
from emprot_plugins.baselines import OccupancyBaseline
from emprot_plugins.data.sampled_frames import sample_frames
from small_stores import make_data

from emprot_core.contracts import SampledWindows
from emprot_core.data.order import one_of_each
from emprot_core.data.windows import SPAN_DTYPE
from emprot_core.evaluation.beside_baselines import fit, score_beside_baselines
from emprot_core.evaluation.table import format_scores

SPANS = np.array([(0, 5, 42), (1, 5, 9), (2, 10, 11)], SPAN_DTYPE)


def ids_of(loader) -> list[int]:
    return [window for batch in loader for window in batch["window_ids"].tolist()]


@pytest.mark.parametrize("num_drawn", [1, 7, 99, 100])
def test_a_sample_has_one_of_each_part_of_equal_size(num_drawn: int) -> None:
    drawn = one_of_each(100, num_drawn, seed=0)
    assert len(drawn) == num_drawn
    assert (np.diff(drawn) > 0).all()
    assert (drawn * num_drawn // 100 - np.arange(num_drawn) <= 1).all()
    assert np.array_equal(drawn, one_of_each(100, num_drawn, seed=0))
    assert num_drawn in (99, 100) or not np.array_equal(drawn, one_of_each(100, num_drawn, seed=1))


def test_a_split_below_the_bound_is_used_whole(first_store) -> None:
    whole = make_data(first_store, max_fit_windows=None, max_eval_windows=None)
    bounded = make_data(first_store, max_fit_windows=whole.num_windows("train"), max_eval_windows=50)
    assert whole.sampled() == bounded.sampled() == {}
    for split in ("train", "validation", "test"):
        pairs = zip(whole.all_windows(split), bounded.all_windows(split), strict=True)
        assert all(one[key].equal(other[key]) for one, other in pairs for key in one)
    assert whole.class_counts().equal(bounded.class_counts())
    pairs = zip(whole.transitions(3), bounded.transitions(3), strict=True)
    assert all(one.equal(other) for one, other in pairs)


def test_of_a_larger_split_a_sample_is_fitted_and_scored_and_training_takes_every_window(first_store) -> None:
    whole = make_data(first_store)
    data = make_data(first_store, max_fit_windows=10, max_eval_windows=12)
    assert data.sampled() == {
        "train": SampledWindows(10, whole.num_windows("train")),
        "validation": SampledWindows(12, whole.num_windows("validation")),
        "test": SampledWindows(12, whole.num_windows("test")),
    }
    assert data.num_windows("test") == len(ids_of(data.loader("test"))) == 12
    assert len(ids_of(data.all_windows("train"))) == 10
    trained = [batch for step in data.loader("train").steps(0, 0, 1) for batch in step]
    assert sorted(ids_of(trained)) == list(range(whole.num_windows("train")))


def test_a_sampled_window_keeps_its_number_and_its_frames(first_store) -> None:
    by_number = {}
    for batch in make_data(first_store, batch_size=1).all_windows("test"):
        by_number[int(batch["window_ids"])] = batch["input_cluster_ids"][0]
    data = make_data(first_store, batch_size=1, max_eval_windows=9)
    for batch in data.all_windows("test"):
        assert batch["input_cluster_ids"][0].equal(by_number[int(batch["window_ids"])])
    numbers = np.array(ids_of(data.all_windows("test")))
    assert numbers.tolist() != list(range(9))
    assert np.array_equal(data.places("test", numbers), make_data(first_store).places("test", numbers))


def test_another_seed_draws_other_windows(first_store) -> None:
    drawn = [ids_of(make_data(first_store, max_eval_windows=9, sample_seed=s).loader("test")) for s in (0, 0, 1)]
    assert drawn[0] == drawn[1] != drawn[2]


def test_classes_and_transitions_are_counted_in_blocks_that_lie_inside_the_spans() -> None:
    drawn = sample_frames(SPANS, 5, seed=0)
    lengths = drawn["stop"] - drawn["start"]
    assert len(drawn) == 5
    assert set(lengths.tolist()) <= {1, 4}
    for trajectory, start, stop in drawn.tolist():
        assert SPANS[trajectory]["start"] <= start < stop <= SPANS[trajectory]["stop"]
    assert sample_frames(SPANS, 11, seed=0) is SPANS  # they have 42 frames, at most 4 x 11


def test_counts_of_a_sample_are_those_of_its_frames_alone(first_store) -> None:
    data = make_data(first_store, max_fit_windows=3)
    spans = sample_frames(data._windows["train"].target_spans(), 3, seed=0)
    frames = [data.store.ids(trajectory)[start:stop] for trajectory, start, stop in spans.tolist()]
    ids = np.concatenate([each.ravel() for each in frames])
    assert data.class_counts().tolist() == np.bincount(ids[ids >= 0], minlength=6).tolist()
    assert 0 < int(data.transitions(1).counts.sum()) < int(make_data(first_store).transitions(1).counts.sum()) / 4


def test_a_score_of_a_sample_says_how_near_that_of_all_windows_is(first_store) -> None:
    data = make_data(first_store, max_eval_windows=20)
    occupancy = OccupancyBaseline()
    fit(occupancy, data)
    judged = score_beside_baselines([occupancy], [], data, 3, None)
    test = judged.test("occupancy")
    sampled = test["sampled"]
    assert (sampled["windows"], sampled["of"]) == (20, 36)
    ends = zip(*sampled["nll_bits"]["occupancy"].values(), test["model"]["nll_bits"], strict=True)
    assert all(low < bits < high for low, high, bits in ends)
    told = format_scores({**test, "sampled": {**sampled, "nll_bits": {"model": sampled["nll_bits"]["occupancy"]}}})
    assert "scored on 20 of 36 windows, spread evenly over the split; over all of them the NLL of the model" in told
    whole = make_data(first_store)
    assert "sampled" not in score_beside_baselines([occupancy], [], whole, 3, None).test("occupancy")

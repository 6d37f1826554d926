import numpy as np
import pytest
from emprot_plugins.splits.by_group import ByGroup
from emprot_plugins.splits.by_time import ByTime

from emprot_core.data.store import INDEX_FIELDS


def index(*rows):
    """A store's index of (name, group, frames)."""
    types = ["U8", "U8", "i4", "i8", "i4", "i4", "f8"]
    full = [(name, group, 0, 0, frames, 10, np.nan) for name, group, frames in rows]
    return np.array(full, dtype=list(zip(INDEX_FIELDS, types, strict=True)))


def listed(spans):
    return {split: rows.tolist() for split, rows in spans.items()}


def test_fractions_of_time_are_rounded_to_whole_frames():
    spans = listed(ByTime(0.7, 0.1, 0.2).spans(index(("a", "A", 250), ("b", "B", 51))))
    assert spans == {
        "train": [(0, 0, 175), (1, 0, 36)],
        "validation": [(0, 175, 200), (1, 36, 41)],
        "test": [(0, 200, 250), (1, 41, 51)],
    }


def test_the_gap_is_taken_from_the_start_of_the_later_split():
    spans = listed(ByTime(0.7, 0.1, 0.2, gap=4).spans(index(("a", "A", 250))))
    assert spans == {"train": [(0, 0, 175)], "validation": [(0, 179, 200)], "test": [(0, 204, 250)]}


def test_a_split_of_fraction_zero_or_shorter_than_the_gap_has_no_span():
    spans = listed(ByTime(0.8, 0.0, 0.2, gap=3).spans(index(("a", "A", 10), ("b", "B", 100))))
    assert spans == {"train": [(0, 0, 8), (1, 0, 80)], "validation": [], "test": [(1, 83, 100)]}


def test_fractions_below_one_leave_the_last_frames_out():
    assert listed(ByTime(0.5, 0.1, 0.1).spans(index(("a", "A", 100))))["test"] == [(0, 60, 70)]


@pytest.mark.parametrize("fractions", [(0.8, 0.2, 0.2), (-0.1, 0.5, 0.5)])
def test_fractions_of_time_that_are_none_are_refused(fractions):
    with pytest.raises(ValueError, match="expected fractions that add up to 1 or less"):
        ByTime(*fractions)


def test_a_negative_gap_is_refused():
    with pytest.raises(ValueError, match="gap is -1"):
        ByTime(gap=-1)


GROUPS = [(f"t{i}", f"P{i % 20}", 30 + i) for i in range(60)]


def groups_of(spans, store):
    return {split: {str(store["group"][t]) for t, _, _ in rows.tolist()} for split, rows in spans.items()}


def test_every_group_lies_wholly_in_one_split_and_every_trajectory_is_used():
    store = index(*GROUPS)
    spans = ByGroup(validation=0.1, test=0.25).spans(store)
    sides = groups_of(spans, store)
    assert [len(sides[s]) for s in ("train", "validation", "test")] == [13, 2, 5]
    assert sum(map(len, spans.values())) == 60
    assert (
        not sides["train"] & sides["validation"] | sides["train"] & sides["test"] | sides["test"] & sides["validation"]
    )
    assert all((start, stop) == (0, 30 + t) for rows in spans.values() for t, start, stop in rows.tolist())


def test_groups_are_chosen_by_seed_whatever_the_order_of_the_store():
    store, reverse = index(*GROUPS), index(*GROUPS[::-1])
    split = ByGroup(0.2, 0.2, seed=1)
    assert groups_of(split.spans(store), store) == groups_of(split.spans(reverse), reverse)
    assert groups_of(split.spans(store), store) != groups_of(ByGroup(0.2, 0.2, seed=2).spans(store), store)


def test_named_groups_go_where_they_are_named_and_the_rest_to_training():
    store = index(("a", "A", 9), ("b", "B", 9), ("c", "C", 9), ("d", "D", 9))
    assert groups_of(ByGroup(["B"], ["D"]).spans(store), store) == {
        "train": {"A", "C"},
        "validation": {"B"},
        "test": {"D"},
    }
    only = ByGroup(["B"], ["D"], train=["A"]).spans(store)
    assert groups_of(only, store) == {"train": {"A"}, "validation": {"B"}, "test": {"D"}}


def test_a_fraction_takes_at_least_one_group_and_none_that_is_named():
    store = index(("a", "A", 9), ("b", "B", 9), ("c", "C", 9))
    sides = groups_of(ByGroup(validation=0.01, test=["C"]).spans(store), store)
    assert sides["test"] == {"C"}
    assert len(sides["validation"]) == len(sides["train"]) == 1
    assert groups_of(ByGroup(validation=0.0, test=["C"]).spans(store), store)["validation"] == set()


def test_too_few_groups_are_named():
    with pytest.raises(ValueError, match=r"no group is left for train: the store has 2 \(A, B\)"):
        ByGroup(0.1, 0.1).spans(index(("a", "A", 9), ("b", "B", 9)))
    with pytest.raises(ValueError, match="no group is left for validation"):
        ByGroup(0.1, 0.1).spans(index(("a", "A", 9)))


def test_an_unknown_group_is_answered_with_the_nearest():
    with pytest.raises(ValueError, match="there is no group 'P1234' in the store; did you mean 'P12345'"):
        ByGroup(validation=0.0, test=["P1234"]).spans(index(("a", "P12345", 9), ("b", "Q1", 9)))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"validation": 0.5, "test": 0.5}, "a sum below 1"),
        ({"validation": -0.1}, "expected 0 or more"),
        ({"validation": ["A"], "test": ["A"]}, "'A' is named twice"),
    ],
)
def test_group_choices_that_cannot_be_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        ByGroup(**arguments)

"""The split that leaves out whole proteins, and the proteins that a sweep leaves out."""

import numpy as np
import pytest
from emprot_plugins.splits import ByTime, LeaveOut
from emprot_plugins.sweeps.groups import groups_of

from emprot_core.config import load
from emprot_core.data.store import INDEX_FIELDS
from emprot_core.errors import EmprotError


def index_of(*trajectories: tuple[str, int]) -> np.ndarray:
    """Rows of an index: the group and the number of frames of each trajectory."""
    types = ["U8", "U8", "i4", "i8", "i4", "i4", "f8"]
    index = np.zeros(len(trajectories), list(zip(INDEX_FIELDS, types, strict=True)))
    index["group"], index["num_frames"] = zip(*trajectories, strict=True)
    return index


INDEX = index_of(("a", 100), ("b", 40), ("a", 20), ("c", 60))


def test_a_group_is_tested_whole_and_the_last_frames_of_the_others_validated() -> None:
    spans = LeaveOut("a", validation=0.25).spans(INDEX)
    assert spans["test"].tolist() == [(0, 0, 100), (2, 0, 20)]
    assert spans["train"].tolist() == [(1, 0, 30), (3, 0, 45)]
    assert spans["validation"].tolist() == [(1, 30, 40), (3, 45, 60)]


def test_without_a_group_it_divides_by_time_and_tests_nothing() -> None:
    spans, by_time = LeaveOut(validation=0.25).spans(INDEX), ByTime(0.75, 0.25, 0.0).spans(INDEX)
    assert len(spans["test"]) == 0
    assert all((spans[split] == by_time[split]).all() for split in ("train", "validation"))


@pytest.mark.parametrize(
    ("test", "message"),
    [
        (["A"], "there is no group 'A' in the store"),
        (["a", "b", "c"], r"LeaveOut\.test names every group \(a, b, c\), so none is left to train on"),
    ],
)
def test_groups_that_cannot_be_left_out_are_told(test: list[str], message: str) -> None:
    with pytest.raises(EmprotError, match=message):
        LeaveOut(test).spans(INDEX)


def test_a_fraction_outside_of_its_range_is_refused() -> None:
    with pytest.raises(EmprotError, match="validation is 1, expected 0 or more and less than 1"):
        LeaveOut(validation=1)


def test_a_sweep_over_groups_knows_the_proteins_of_the_data() -> None:
    assert groups_of(load(["leave_one_out.gin"])) == ["P02699", "P05106", "P28222"]

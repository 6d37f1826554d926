"""Transitions of the training frames, and which part of them a window leaves out."""

import pickle
from collections import Counter

import numpy as np
import pytest
import torch
from small_stores import make_data

from emprot_core.contracts import CountsTransitions


def count_slowly(data, max_lag: int) -> Counter:
    """The transitions by lag and IDs, over all parts, one pair after the other."""
    found: Counter = Counter()
    for trajectory, start, stop in data._windows["train"].spans.tolist():
        ids = data.store.ids(trajectory)
        for frame in range(start, stop):
            for lag in range(1, max_lag + 1):
                if frame >= lag:
                    pairs = zip(ids[frame - lag].tolist(), ids[frame].tolist(), strict=True)
                    found.update((lag, before, after) for before, after in pairs if min(before, after) >= 0)
    return found


@pytest.mark.parametrize("trajectories", [None, ["apo_R1"], ["apo_*"]])
def test_transitions_are_those_of_a_slow_count(first_store: str, trajectories) -> None:
    data = make_data(first_store, trajectories=trajectories)
    assert isinstance(data, CountsTransitions)
    transitions = data.transitions(4)
    counted: Counter = Counter()
    for lag, before, after, count in zip(*(column.tolist() for column in transitions[1:]), strict=True):
        counted[lag, before, after] += count
    assert counted == count_slowly(data, 4)
    keys = list(zip(*(column.tolist() for column in transitions[:4]), strict=True))
    assert keys == sorted(set(keys))


def test_several_proteins_are_a_part_each_and_a_window_leaves_its_own_out(first_store: str) -> None:
    data = make_data(first_store)
    parts = set(data.transitions(2).part.tolist())
    assert len(parts) == 2
    apo = set(make_data(first_store, trajectories=["apo_R1", "holo_R1"]).transitions(2).part.tolist())
    assert apo == parts  # numbers depend on nothing but the name
    for split in ("train", "validation"):
        for batch in data.all_windows(split):
            for part in batch["left_out"].tolist():
                assert part in parts
            same = batch["group_ids"][:, None] == batch["group_ids"]
            assert torch.equal(same, batch["left_out"][:, None] == batch["left_out"])


def test_one_protein_is_five_parts_of_its_training_time(first_store: str) -> None:
    data = make_data(first_store, trajectories=["apo_R1"])  # 60 frames, 42 of training; K = 5
    last_frames = np.arange(4, 41)
    blocks = last_frames * 5 // 42
    parts = torch.cat([batch["left_out"] for batch in data.all_windows("train")])
    assert len(parts) == len(last_frames)
    names = dict(zip(blocks.tolist(), parts.tolist(), strict=True))
    assert parts.tolist() == [names[block] for block in blocks.tolist()]
    assert len(set(names.values())) == 5
    assert set(data.transitions(1).part.tolist()) == set(names.values())
    of_validation = torch.cat([batch["left_out"] for batch in data.all_windows("validation")])
    assert of_validation.tolist() == [names[4]] * 3 + [-1] * (len(of_validation) - 3)  # those that end in training


def test_windows_of_the_test_split_leave_nothing_out(first_store: str) -> None:
    for trajectories in (None, ["apo_R1"]):
        for batch in make_data(first_store, trajectories=trajectories).all_windows("test"):
            assert batch["left_out"].tolist() == [-1] * len(batch["window_ids"])


def test_a_pair_belongs_to_the_block_of_its_later_frame(first_store: str) -> None:
    data = make_data(first_store, trajectories=["apo_R1"])
    transitions, ids = data.transitions(1), data.store.ids(0)
    parts = data._parts.of(np.zeros(42, int), np.arange(42))
    for block in range(5):
        frames = [frame for frame in range(1, 42) if frame * 5 // 42 == block]
        wanted = sum(int(((ids[frame - 1] >= 0) & (ids[frame] >= 0)).sum()) for frame in frames)
        assert int(transitions.counts[transitions.part == parts[frames[0]]].sum()) == wanted


def test_what_is_left_out_survives_a_copy_to_another_process(first_store: str) -> None:
    gather = make_data(first_store).loader("train").gather
    again = pickle.loads(pickle.dumps(gather))
    window_ids = np.arange(20)
    assert torch.equal(again(window_ids)["left_out"], gather(window_ids)["left_out"])

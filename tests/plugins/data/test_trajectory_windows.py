"""Windows of the trajectories of a store, per split."""

import pickle

import numpy as np
import pytest
from emprot_plugins.data.trajectory_windows import TrajectoryWindows
from emprot_plugins.splits.by_group import ByGroup
from emprot_plugins.splits.by_time import ByTime
from small_stores import CLUSTERS, make_data

from emprot_core import registry
from emprot_core.data.store import StoreError
from emprot_core.data.windows import SPAN_DTYPE


def test_it_is_registered_under_its_name():
    assert registry.get("data", "TrajectoryWindows") is TrajectoryWindows


def test_windows_are_counted_per_split(first_store):
    data = make_data(first_store)
    # Training: targets 5 .. stop-1 at h = 1; validation and test: one window a target frame, and F - 1 before them.
    assert data.num_windows("train") == (42 - 5) + (35 - 5) + (28 - 5)
    assert data.num_windows("validation") == (6 + 2) + (5 + 2) + (4 + 2)
    assert data.num_windows("test") == (12 + 2) + (10 + 2) + (8 + 2)
    assert make_data(first_store, stride=4).num_windows("test") == 4 + 3 + 3


def test_it_tells_vocabulary_and_the_digest_of_the_store(first_store):
    data = make_data(first_store)
    assert (data.vocabulary.name, data.vocabulary.num_clusters) == ("test", CLUSTERS)
    assert data.digest == data.store.digest
    assert data.max_residues == 7


def test_loaders_take_batch_sizes_and_seed_from_the_choice(first_store):
    data = make_data(first_store, batch_size=2, eval_batch_size=5)
    loader = data.loader("train", seed=3)
    assert len(next(loader.steps(0, 0, 1))[0]["window_ids"]) == 2
    assert len(next(iter(loader))["window_ids"]) == 5
    other = data.loader("train", seed=4)
    first = [next(each.steps(0, 0, 4))[0]["window_ids"].tolist() for each in (loader, other)]
    assert first[0] != first[1]


def test_all_windows_gives_each_window_of_the_split_once(first_store):
    data = make_data(first_store)
    seen = [w for batch in data.all_windows("validation") for w in batch["window_ids"].tolist()]
    assert seen == list(range(data.num_windows("validation")))


@pytest.mark.parametrize(
    ("patterns", "frames"), [(["apo_R2"], {50}), (["*_R1"], {60, 40}), (["holo*", "apo_R2", "apo_R?"], {60, 50, 40})]
)
def test_trajectories_are_chosen_by_name_or_pattern(first_store, patterns, frames):
    data = make_data(first_store, trajectories=patterns)
    ends = {int(row["stop"]) for row in data._windows["test"].spans}
    assert ends == frames


def test_a_chosen_trajectory_gives_its_own_ids(first_store):
    data = make_data(first_store, trajectories=["apo_R2"])
    first = next(iter(data.loader("test")))  # test targets start at frame 40, so that t = 37 is the first window
    assert data.max_residues == 4
    assert np.array_equal(first["input_cluster_ids"][0], data.store.ids(1)[33:38])


def test_a_name_that_matches_nothing_is_answered_with_the_nearest(first_store):
    with pytest.raises(ValueError, match=r"no trajectory matches 'apo_R3'; did you mean 'apo_R[12]'"):
        make_data(first_store, trajectories=["apo_R1", "apo_R3"])
    with pytest.raises(ValueError, match="trajectories is an empty list; name some"):
        make_data(first_store, trajectories=[])
    with pytest.raises(ValueError, match=r"expected a list of names: \['apo_R1'\]"):
        make_data(first_store, trajectories="apo_R1")


def test_class_counts_are_those_of_the_training_frames_that_can_be_targets(first_store):
    data = make_data(first_store, trajectories=["apo_*"])
    expected = np.zeros(CLUSTERS, int)
    for trajectory, stop in [(0, 42), (1, 35)]:
        for value in data.store.ids(trajectory)[5:stop].ravel():
            if value >= 0:
                expected[value] += 1
    assert data.class_counts().tolist() == expected.tolist()


def test_a_split_without_windows_says_why_and_what_to_change(first_store):
    data = make_data(first_store, split=ByTime(0.8, 0.0, 0.2))
    with pytest.raises(ValueError, match=r"validation split has no windows: .*K=5 .*F=3 .*60 frames, 0 spans.*: none"):
        data.loader("validation")
    long = make_data(first_store, history=59)
    with pytest.raises(
        ValueError, match=r"K=59 .* got 3 trajectories of 40 to 60 frames, 3 spans .* \[0, 42\) of apo_R1"
    ):
        long.loader("train")
    assert long.num_windows("train") == 0
    assert long.num_windows("test") == 1


def test_splits_by_group_keep_their_trajectories(first_store):
    data = make_data(first_store, split=ByGroup(validation=0.0, test=["holo"]))
    assert {batch["input_cluster_ids"].shape[2] for batch in data.loader("test")} == {7}
    assert {batch["input_cluster_ids"].shape[2] for batch in data.loader("train")} == {4}


class BrokenSplit:
    def spans(self, index):
        return {"train": np.array([(5, 0, 10)], dtype=SPAN_DTYPE)}


def test_a_split_that_names_a_trajectory_that_is_not_there_is_refused(first_store):
    with pytest.raises(ValueError, match=r"span \[0, 10\) of trajectory 5, which has 0 frames"):
        make_data(first_store, split=BrokenSplit())


def test_loaders_can_be_pickled_and_go_on_alike(first_store):
    loader = make_data(first_store).loader("train", seed=1)
    copy = pickle.loads(pickle.dumps(loader))
    steps = [[b["window_ids"].tolist() for b in next(each.steps(0, 3, 2))] for each in (loader, copy)]
    assert steps[0] == steps[1]


def test_a_missing_store_is_refused(tmp_path):
    with pytest.raises(StoreError, match="is not a trajectory store"):
        make_data(str(tmp_path / "none"))

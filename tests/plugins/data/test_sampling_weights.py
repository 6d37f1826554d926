"""Trajectories that training takes more or less often than once."""

import pickle
import tracemalloc

import numpy as np
import pytest
from emprot_plugins.data.trajectory_windows import TrajectoryWindows
from emprot_plugins.splits.by_group import ByGroup
from emprot_plugins.splits.by_time import ByTime
from small_stores import CLUSTERS, make_data

from emprot_core.contracts import Vocabulary
from emprot_core.data.loader import WindowLoader
from emprot_core.data.store import StoreWriter


def drawn(data, epoch=0, seed=0, batches=1):
    steps = data.loader("train", seed=seed).steps(epoch, 0, batches)
    return [window for step in steps for batch in step for window in batch["window_ids"].tolist()]


def train_windows_of(data, name):
    """The numbers of a trajectory's training windows."""
    windows = data._windows["train"]
    places = windows.locate(np.arange(len(windows)))
    return set(np.flatnonzero(data.store.index["name"][places.trajectory] == name).tolist())


def test_an_epoch_takes_each_window_as_often_as_the_weight_of_its_trajectory(first_store):
    data = make_data(first_store, weights={"apo*": 3.0, "apo_R2": 2, "holo_R1": 0.0})
    assert data.loader("train").num_steps(1) == -(-(3 * 37 + 2 * 30) // 4)
    counts = np.bincount(drawn(data), minlength=data.num_windows("train"))
    for name, weight in {"apo_R1": 3, "apo_R2": 2, "holo_R1": 0}.items():
        assert set(counts[list(train_windows_of(data, name))].tolist()) == {weight}


def test_weights_of_one_change_nothing_but_the_order(first_store):
    assert sorted(drawn(make_data(first_store, weights={"*": 1.0}))) == sorted(drawn(make_data(first_store)))
    assert drawn(make_data(first_store, weights={})) != drawn(make_data(first_store, weights={}), epoch=1)


def test_a_weight_of_a_half_takes_every_other_window_and_all_of_them_over_epochs(first_store):
    data = make_data(first_store, weights={"holo_R1": 0.5})
    windows = train_windows_of(data, "holo_R1")
    taken = [sorted(windows & set(drawn(data, epoch))) for epoch in range(20)]
    assert {len(some) for some in taken} <= {11, 12}  # of 23
    assert all(set(np.diff(some)) <= {2, 3} for some in taken)  # a step is 78.5 / 78 of a window's length
    assert set().union(*map(set, taken)) == windows


def test_weights_leave_validation_test_and_what_baselines_see_alone(first_store):
    plain, weighted = make_data(first_store), make_data(first_store, weights={"*": 0.25, "apo_R1": 4.0})
    for split in ("train", "validation", "test"):
        assert weighted.num_windows(split) == plain.num_windows(split)
        seen = [w for batch in weighted.all_windows(split) for w in batch["window_ids"].tolist()]
        assert seen == list(range(plain.num_windows(split)))
    assert weighted.class_counts().tolist() == plain.class_counts().tolist()


@pytest.mark.parametrize("first_step", [0, 3])
def test_weighted_steps_depend_on_neither_ranks_nor_where_they_start(first_store, first_step):
    data = make_data(first_store, weights={"apo*": 1.7, "holo_R1": 0.4})
    gather = data.loader("train").gather
    loaders = [WindowLoader(gather, 4, seed=5, rank=rank, world_size=2) for rank in range(2)]
    alone = list(WindowLoader(gather, 4, seed=5, rank=0, world_size=1).steps(1, 0, 2))[first_step:]
    ranks = [list(loader.steps(1, first_step, 1)) for loader in loaders]
    assert len(alone) == len(ranks[0]) == len(ranks[1])
    for step, *parts in zip(alone, *ranks, strict=True):
        numbers = sorted(w for batch in step for w in batch["window_ids"].tolist())
        assert numbers == sorted(
            w
            for part in parts
            for batch in part
            for w in batch["window_ids"][batch["future_step_mask"].any(1)].tolist()
        )


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        (
            {"apo_R9": 2.0},
            r"no trajectory matches 'apo_R9'; did you mean 'apo_R[12]'\?.*correct TrajectoryWindows.weights",
        ),
        ({"apo_R1": -1.0}, r"the weight of 'apo_R1' is -1.0, expected a finite number, 0 or more"),
        ({"apo_R1": float("nan")}, "the weight of 'apo_R1' is nan"),
        ({"apo_R1": "2"}, "the weight of 'apo_R1' is '2'"),
        ([1.0, 2.0], r"weights are \[1.0, 2.0\], expected weights by name or pattern"),
    ],
)
def test_weights_that_cannot_be_are_refused(first_store, weights, message):
    with pytest.raises(ValueError, match=message):
        make_data(first_store, weights=weights)


def test_weights_that_leave_nothing_to_train_on_are_refused(first_store):
    with pytest.raises(ValueError, match=r"weights of the \d+ training windows add up to less than a half"):
        make_data(first_store, weights={"*": 0.001}).loader("train")
    assert next(iter(make_data(first_store, weights={"*": 0.001}).loader("test")))


def test_a_loader_of_several_weighted_stores_can_be_pickled(first_store, second_store):
    loader = make_data([first_store, second_store], weights={"second/*": 2.0}).loader("train", seed=1)
    copy = pickle.loads(pickle.dumps(loader))
    steps = [[b["window_ids"].tolist() for b in next(each.steps(0, 3, 2))] for each in (loader, copy)]
    assert steps[0] == steps[1]


@pytest.mark.slow
@pytest.mark.parametrize("split", [ByGroup(), ByTime(0.6, 0.2, 0.2)])
def test_a_hundred_thousand_trajectories_take_memory_for_the_index_alone(tmp_path, split):
    count, ids = 100_000, np.arange(64).reshape(16, 4) % CLUSTERS
    with StoreWriter(tmp_path / "large", Vocabulary("test", CLUSTERS, {})) as writer:
        for row in range(count):
            writer.add(f"protein{row // 3:06d}_R{row % 3}", f"P{row // 3:06d}", ids)
    tracemalloc.start()
    data = TrajectoryWindows(str(tmp_path / "large"), history=4, horizon=2, split=split)
    step = next(data.loader("train").steps(3, 5000, 1))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert len(step[0]["window_ids"]) == 4
    assert data.num_windows("train") > 5 * count
    assert data.num_windows("test") == 2000  # a sample is scored
    assert peak < 300 * count  # up to 291 bytes each were seen; a row of the index has 112

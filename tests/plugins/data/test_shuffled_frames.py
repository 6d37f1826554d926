"""The control in which the frames of a trajectory are in random order."""

import pickle

import numpy as np
import pytest
from emprot_plugins.data.shuffled_stores import ShuffledStores
from emprot_plugins.data.trajectory_windows import TrajectoryWindows
from emprot_plugins.splits.by_time import ByTime
from small_stores import write_store

from emprot_core.data.store import TrajectoryStore


@pytest.fixture
def directory(tmp_path):
    write_store(tmp_path / "store", a=(40, 3), b=(25, 5))
    return tmp_path / "store"


def test_every_frame_is_there_once_in_another_order_and_again_after_pickling(directory) -> None:
    store = TrajectoryStore(directory)
    shuffled = ShuffledStores(store, seed=0)
    for trajectory in range(len(store)):
        frames, moved = store.ids(trajectory).tolist(), shuffled.ids(trajectory).tolist()
        assert sorted(frames) == sorted(moved)
        assert frames != moved
        assert moved == pickle.loads(pickle.dumps(shuffled)).ids(trajectory).tolist()
        assert moved != ShuffledStores(store, seed=1).ids(trajectory).tolist()


def test_windows_come_from_the_shuffled_frames_and_the_digest_says_so(directory) -> None:
    plain, control = (
        TrajectoryWindows(str(directory), 2, 1, ByTime(0.7, 0.1, 0.2), shuffle_frames=seed) for seed in (None, 0)
    )
    assert plain.digest != control.digest
    assert plain.num_windows("train") == control.num_windows("train")
    first = next(iter(control.all_windows("train")))["input_cluster_ids"][0, :, :3].numpy()
    np.testing.assert_array_equal(first, ShuffledStores(TrajectoryStore(directory), 0).ids(0)[:2])
    with pytest.raises(ValueError, match="shuffle_frames is -1, expected a seed of 0 or more"):
        TrajectoryWindows(str(directory), 2, 1, ByTime(0.7, 0.1, 0.2), shuffle_frames=-1)

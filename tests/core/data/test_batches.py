import pickle

import numpy as np
import pytest
import torch

from emprot_core.batch import group_id, has_target, target_mask, validate_batch
from emprot_core.contracts import Vocabulary
from emprot_core.data.batches import Gather
from emprot_core.data.store import StoreError, StoreWriter, TrajectoryStore
from emprot_core.data.windows import SPAN_DTYPE, Windows

CLUSTERS = 7


@pytest.fixture
def store(tmp_path):
    """Three trajectories of two proteins, with missing IDs: names, groups, shapes and time steps differ."""
    rng = np.random.default_rng(0)
    with StoreWriter(tmp_path / "store", Vocabulary("test", CLUSTERS, {})) as writer:
        writer.add("a1", "B", rng.integers(-1, CLUSTERS, (12, 5)), time_step_ns=0.2)
        writer.add("b1", "A", rng.integers(-1, CLUSTERS, (9, 3)))
        writer.add("a2", "B", rng.integers(0, CLUSTERS, (7, 5)), time_step_ns=1.0)
    return TrajectoryStore(tmp_path / "store")


def make_gather(store, rows, history=3, horizon=2, past=0):
    spans = np.array(rows, dtype=SPAN_DTYPE)
    return Gather(store, Windows(spans, store.index["num_frames"], history, horizon), past)


def obvious_batch(store, windows, window_ids):
    """Input IDs, future IDs and step mask, one element at a time."""
    places = windows.locate(window_ids)
    widest = max(store.ids(int(t)).shape[1] for t in places.trajectory)
    inputs = np.full((len(window_ids), windows.history, widest), -1)
    future = np.full((len(window_ids), windows.horizon, widest), -1)
    for b, (trajectory, t) in enumerate(zip(places.trajectory, places.last_frame, strict=True)):
        ids = store.ids(int(trajectory))
        for n in range(ids.shape[1]):
            for k in range(windows.history):
                inputs[b, k, n] = ids[t - windows.history + 1 + k, n]
            for h in range(windows.horizon):
                if places.step_mask[b, h]:
                    future[b, h, n] = ids[t + 1 + h, n]
    return inputs, future, places.step_mask


@pytest.mark.parametrize("past", [1, 4, 30])
def test_a_batch_holds_the_past_of_its_windows_as_far_as_there_is_one(store, past):
    rows = [(0, 4, 11), (1, 0, 9), (2, 5, 7)]
    plain, long = make_gather(store, rows), make_gather(store, rows, past=past)
    for window_ids in (np.arange(len(plain.windows)), np.array([4])):
        short, batch = plain(window_ids), long(window_ids)
        validate_batch(batch, CLUSTERS, horizon=2)
        for key in set(short) - {"input_cluster_ids", "history_mask", "times"}:
            assert torch.equal(batch[key], short[key]), key
        for key in ("input_cluster_ids", "history_mask", "times"):
            assert torch.equal(batch[key][:, past:], short[key]), key
        places = plain.windows.locate(window_ids)
        for b, (trajectory, t) in enumerate(zip(places.trajectory, places.last_frame, strict=True)):
            ids = store.ids(int(trajectory))
            for age in range(3, past + 3):
                row = batch["input_cluster_ids"][b, past + 2 - age, : ids.shape[1]].numpy()
                assert np.array_equal(row, ids[t - age] if t >= age else np.full(ids.shape[1], -1))
    assert torch.equal(pickle.loads(pickle.dumps(long))(np.array([4]))["times"], batch["times"])


def test_a_batch_equals_the_one_gathered_element_by_element(store):
    gather = make_gather(store, [(0, 4, 11), (1, 0, 9), (2, 5, 7)])
    window_ids = np.random.default_rng(1).permutation(len(gather.windows))
    batch = gather(window_ids)
    inputs, future, step_mask = obvious_batch(store, gather.windows, window_ids)
    assert np.array_equal(batch["input_cluster_ids"], inputs)
    assert np.array_equal(batch["future_cluster_ids"], future)
    assert np.array_equal(batch["future_step_mask"], step_mask)
    assert np.array_equal(batch["history_mask"], inputs >= 0)
    validate_batch(batch, CLUSTERS, horizon=2)


def test_a_gather_is_pickled_without_the_frames_it_has_read(store):
    gather = make_gather(store, [(0, 0, 12), (1, 0, 9)])
    fresh = len(pickle.dumps(gather))
    batch = gather(np.array([0, 9]))
    assert len(pickle.dumps(gather)) == fresh
    again = pickle.loads(pickle.dumps(gather))(np.array([0, 9]))
    assert all(torch.equal(batch[key], again[key]) for key in batch)


def test_a_batch_keeps_its_numbers_when_others_are_read(store):
    gather = make_gather(store, [(0, 0, 12)])
    first = gather(np.array([0, 1]))
    copy = {key: value.clone() for key, value in first.items()}
    gather(np.array([2, 3]))
    assert all(torch.equal(first[key], copy[key]) for key in first)


def test_mixed_proteins_are_padded_and_masked(store):
    gather = make_gather(store, [(0, 0, 12), (1, 0, 9)])
    first_of_b = 12 - 3
    batch = gather(np.array([0, first_of_b]))
    assert batch["sequence_lengths"].tolist() == [5, 3]
    assert batch["residue_mask"].tolist() == [[True] * 5, [True] * 3 + [False] * 2]
    assert not batch["history_mask"][1, :, 3:].any()
    assert (batch["future_cluster_ids"][1, :, 3:] == -1).all()
    assert not target_mask(batch)[1, :, 3:].any()


def test_group_ids_name_the_protein_and_window_ids_the_window(store):
    gather = make_gather(store, [(0, 0, 12), (1, 0, 9), (2, 0, 7)])
    batch = gather(np.array([0, 9, 15]))
    groups = [group_id(str(store.index["group"][row])) for row in (0, 1, 2)]
    assert batch["group_ids"].tolist() == groups
    assert groups[0] == groups[2] != groups[1]
    assert batch["window_ids"].tolist() == [0, 9, 15]
    assert batch["window_ids"].dtype == batch["group_ids"].dtype == torch.int64


def test_times_count_back_from_the_last_frame_and_are_zero_where_the_step_is_unknown(store):
    batch = make_gather(store, [(0, 0, 12), (1, 0, 9)])(np.array([0, 9]))
    assert batch["times"].dtype == torch.float32
    torch.testing.assert_close(batch["times"], torch.tensor([[-0.4, -0.2, 0.0], [0.0, 0.0, 0.0]]))


def test_targets_outside_the_span_are_missing_and_masked(store):
    gather = make_gather(store, [(2, 5, 6)], history=3, horizon=2)
    batch = gather(np.arange(len(gather.windows)))
    assert batch["future_step_mask"].tolist() == [[False, True], [True, False]]
    assert (batch["future_cluster_ids"][~batch["future_step_mask"]] == -1).all()
    assert batch["future_cluster_ids"][0, 1].tolist() == store.ids(2)[5].tolist()


@pytest.mark.parametrize("wrong", [CLUSTERS, -2])
def test_an_id_out_of_range_is_named_with_its_trajectory_and_frame(store, wrong):
    shard = np.load(store.directory / "ids-00000.npy", mmap_mode="r+")
    shard[12 * 5 + 4 * 3 + 1] = wrong  # trajectory b1, frame 4, residue 1
    shard.flush()
    gather = make_gather(TrajectoryStore(store.directory), [(0, 0, 12), (1, 0, 9)])
    gather(np.arange(9))  # the windows of a1 are sound
    with pytest.raises(StoreError, match=rf"trajectory b1, frame 4, residue 1 has the ID {wrong}"):
        gather(np.array([0, 10]))


def test_has_target_is_true_exactly_where_the_target_mask_is(tmp_path):
    ids = np.zeros((8, 2), int)
    ids[5:] = -1
    with StoreWriter(tmp_path / "holes", Vocabulary("test", CLUSTERS, {})) as writer:
        writer.add("a", "A", ids)
    gather = make_gather(TrajectoryStore(tmp_path / "holes"), [(0, 0, 8)])
    found = [has_target(gather(np.array([w]))) for w in range(len(gather.windows))]
    assert found == [bool(target_mask(gather(np.array([w]))).any()) for w in range(len(gather.windows))]
    assert found == [True, True, False, False, False]

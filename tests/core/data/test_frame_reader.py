"""Stores too large for a memory map are read window by window, with the same result."""

import gc
import os
import pickle
from pathlib import Path

import numpy as np
import pytest
from small_stores import CLUSTERS, make_data

from emprot_core.batch import Batch
from emprot_core.data import store as store_module
from emprot_core.data.frame_reader import FrameReader
from emprot_core.data.store import StoreError, TrajectoryStore

OPTIONS = {"past": 9, "partial_history": True, "horizon": 4}


def batches(data) -> list[Batch]:
    return [*data.all_windows("train"), *(batch for step in data.loader("train").steps(0, 0, 2) for batch in step)]


def test_windows_read_from_the_files_equal_those_of_the_memory_map(first_store, monkeypatch) -> None:
    mapped = batches(make_data(first_store, **OPTIONS))
    monkeypatch.setattr(store_module, "MAPPED_BYTES", 0)
    data = make_data(first_store, **OPTIONS)
    read = batches(data)
    assert not data.store._is_mapped
    for one, other in zip(mapped, read, strict=True):
        assert all(one[key].equal(other[key]) for key in one)
    again = pickle.loads(pickle.dumps(data.store))
    assert np.array_equal(again.frames(0, 3, 8), data.store.ids(0)[3:8])


@pytest.mark.parametrize(("start", "stop"), [(0, 60), (55, 99), (60, 70), (7, 7)])
def test_frames_that_the_trajectory_lacks_are_left_out(first_store, monkeypatch, start: int, stop: int) -> None:
    monkeypatch.setattr(store_module, "MAPPED_BYTES", 0)
    store = TrajectoryStore(first_store)
    assert np.array_equal(store.frames(0, start, stop), store.ids(0)[start:stop])


def test_a_shard_that_is_cut_off_while_it_is_used_is_told_by_name(tmp_path: Path) -> None:
    path = tmp_path / "ids-00000.npy"
    np.save(path, np.arange(1000, dtype=np.int16))
    reader = FrameReader(path, np.load(path, mmap_mode="r"))
    assert reader.read(990, 10).tolist() == list(range(990, 1000))
    os.truncate(path, 1500)
    with pytest.raises(StoreError, match=r"ids-00000\.npy was cut off while it was read; copy or prepare the store"):
        reader.read(990, 10)


def test_a_reader_that_nobody_holds_closes_its_file(tmp_path: Path) -> None:
    path = tmp_path / "ids-00000.npy"
    np.save(path, np.arange(CLUSTERS, dtype=np.int16))
    file = FrameReader(path, np.load(path))._file
    gc.collect()
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(file)

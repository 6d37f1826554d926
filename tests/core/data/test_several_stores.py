"""Several stores read as one."""

import numpy as np
import pytest
from emprot_plugins.splits.by_group import ByGroup
from emprot_plugins.splits.stored import StoredSplit
from small_stores import CLUSTERS, SHAPES, make_data, write_store

from emprot_core.contracts import Vocabulary
from emprot_core.data.store import StoreError, StoreWriter
from emprot_core.data.windows import SPAN_DTYPE


def test_several_stores_give_the_trajectories_of_each_under_its_name(first_store, second_store):
    data = make_data([first_store, second_store])
    assert data.store.index["name"].tolist() == [
        *(f"store/{name}" for name in SHAPES),
        "second/apo_R1",
        "second/membrane_protein_R1",
    ]
    assert data.store.index["group"].tolist() == ["apo", "apo", "holo", "apo", "membrane"]
    alone = [make_data(store).num_windows("train") for store in (first_store, second_store)]
    assert data.num_windows("train") == sum(alone)
    only = make_data([first_store, second_store], trajectories=["second/apo_R1"])
    batch = next(iter(only.loader("test")))  # test targets start at frame 24, so that t = 21 is the first window
    assert np.array_equal(batch["input_cluster_ids"][0], make_data(second_store).store.ids(0)[17:22])
    assert batch["times"][0].tolist() == [-2.0, -1.5, -1.0, -0.5, 0.0]


def test_a_list_of_one_store_is_that_store(first_store):
    assert make_data([first_store]).digest == make_data(first_store).digest
    assert make_data([first_store]).store.index["name"].tolist() == list(SHAPES)


def test_the_digest_of_several_stores_is_of_all_and_of_their_order(first_store, second_store):
    digests = {
        make_data(s).digest
        for s in (first_store, second_store, [first_store, second_store], [second_store, first_store])
    }
    assert len(digests) == 4


def test_stores_of_one_folder_name_are_told_apart_by_those_above(tmp_path):
    paths = [write_store(tmp_path / name / "pb", a=(20, 3)) for name in ("x", "y")]
    assert make_data(paths).store.index["name"].tolist() == ["x/a", "y/a"]


def test_a_group_of_two_stores_lies_on_one_side_of_a_split(first_store, second_store):
    data = make_data([first_store, second_store], split=ByGroup(validation=0.0, test=["apo"]))
    assert {data.store.index["group"][row] for row in data._windows["test"].spans["trajectory"]} == {"apo"}
    assert len(data._windows["test"].spans) == 3


def test_stores_of_other_classes_are_refused_with_what_differs(first_store, tmp_path):
    other = write_store(tmp_path / "other", tokenizer="kmeans", a=(20, 3))
    with pytest.raises(
        StoreError, match=r"the tokenizer's name is 'precomputed' and 'kmeans'.*; prepare both with one"
    ):
        make_data([first_store, other])
    larger = write_store(tmp_path / "larger", clusters=7, a=(20, 3))
    with pytest.raises(StoreError, match="num_clusters is 6 and 7"):
        make_data([first_store, larger])
    fitted = []
    for name, centroids in (("one", np.zeros((6, 2))), ("two", np.ones((6, 2)))):
        with StoreWriter(tmp_path / name, Vocabulary("test", CLUSTERS, {})) as writer:
            writer.add("a", "", np.zeros((20, 3), int))
            writer.add_array("centroids", centroids)
            writer.add_array("split_train", np.zeros(int(centroids.max()), SPAN_DTYPE))  # may well differ
        fitted.append(str(tmp_path / name))
    with pytest.raises(StoreError, match=r"SHA-256 of centroids\.npy is "):
        make_data(fitted)


def test_a_store_given_twice_or_no_store_is_refused(first_store):
    with pytest.raises(StoreError, match="store is given twice"):
        make_data([first_store, first_store])
    with pytest.raises(StoreError, match="empty list of stores"):
        make_data([])


def test_bad_ids_in_one_of_several_stores_are_named(first_store, second_store):
    joined = make_data([first_store, second_store]).store
    joined.stores[1].vocabulary = Vocabulary("test", 2, {})
    with pytest.raises(StoreError, match=r"second/ids-00000\.npy: trajectory membrane_protein_R1, frame "):
        joined.check_ids(4)
    joined.check_ids(0)


def test_stored_splits_of_several_stores_are_joined(tmp_path):
    paths = []
    for name, frames in (("x", 20), ("y", 30)):
        with StoreWriter(tmp_path / name, Vocabulary("test", CLUSTERS, {})) as writer:
            writer.add("a", name, np.zeros((frames, 2), int))
            writer.add("b", name, np.ones((frames, 2), int))
            half = frames // 2
            for split, start, stop in (("train", 0, half), ("validation", 0, 0), ("test", half, frames)):
                rows = [(row, start, stop) for row in (0, 1) if start < stop]
                writer.add_array(f"split_{split}", np.array(rows, SPAN_DTYPE))
        paths.append(str(tmp_path / name))
    stored = StoredSplit(paths)
    data = make_data(paths, split=stored)
    assert data._windows["train"].spans.tolist() == [(0, 0, 10), (1, 0, 10), (2, 0, 15), (3, 0, 15)]
    part = make_data(paths, split=stored, trajectories=["y/b"])
    assert part._windows["test"].spans.tolist() == [(3, 15, 30)]
    with pytest.raises(ValueError, match=r"no trajectory 'x/a', but a, b; bind Stored\.store to the stores of"):
        make_data(paths, split=StoredSplit(paths[0]))

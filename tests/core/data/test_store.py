"""The trajectory store: what is written comes back, and what cannot be written is refused."""

import pickle
from pathlib import Path

import numpy as np
import pytest
from small_stores import FIRST_LETTERS, SECOND_LETTERS, write_lettered_store

from emprot_core.contracts import Vocabulary
from emprot_core.data import store_writer
from emprot_core.data.store import INDEX_FIELDS, StoreError, StoreWriter, TrajectoryStore, find_store


@pytest.fixture
def store(tmp_path: Path) -> Path:
    return write_lettered_store(tmp_path / "store")


def test_a_store_gives_back_what_was_written(store: Path) -> None:
    opened = TrajectoryStore(store, verify=True)
    assert len(opened) == 2
    np.testing.assert_array_equal(opened.ids(0), FIRST_LETTERS)
    np.testing.assert_array_equal(opened.ids(1), SECOND_LETTERS)
    np.testing.assert_array_equal(opened.array("centroids"), np.eye(5))
    assert opened.vocabulary == Vocabulary("letters", 5, {"name": "letters", "classes": "abcde"})
    assert opened.sources == [{"package": "p", "licence": "MIT"}]
    assert opened.index.dtype.names == INDEX_FIELDS
    assert opened.index["name"].tolist() == ["first", "second"]
    assert opened.index["group"].tolist() == ["P1", "P2"]
    assert opened.index["time_step_ns"][0] == 0.2
    assert np.isnan(opened.index["time_step_ns"][1])


@pytest.mark.parametrize(("num_clusters", "dtype"), [(20, np.int16), (32767, np.int16), (50_000, np.int32)])
def test_ids_are_kept_in_the_smallest_type_that_holds_the_vocabulary(
    tmp_path: Path, num_clusters: int, dtype: type
) -> None:
    with StoreWriter(tmp_path / "store", Vocabulary("v", num_clusters, {})) as writer:
        writer.add("a", "", np.array([[num_clusters - 1, -1]], dtype=np.int64))
    ids = TrajectoryStore(tmp_path / "store").ids(0)
    assert ids.dtype == dtype
    assert ids.tolist() == [[num_clusters - 1, -1]]


def test_trajectories_are_spread_over_shards(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store_writer, "SHARD_TOKENS", 10)
    tables = [np.full((rows, 3), rows) for rows in (2, 1, 5, 1, 3)]  # 6 + 3 | 15, too large alone | 3 | 9
    with StoreWriter(tmp_path / "store", Vocabulary("v", 6, {})) as writer:
        for number, table in enumerate(tables):
            writer.add(f"t{number}", "", table)
    opened = TrajectoryStore(tmp_path / "store", verify=True)
    assert opened.index["shard"].tolist() == [0, 0, 1, 2, 3]
    for number, table in enumerate(tables):
        np.testing.assert_array_equal(opened.ids(number), table)


def test_nothing_of_an_open_store_can_be_changed(store: Path) -> None:
    opened = TrajectoryStore(store)
    for array in (opened.ids(0), opened.index["num_frames"], opened.array("centroids")):
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 0


def test_a_pickled_store_opens_again_in_another_directory(
    store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(store.parent)
    pickled = pickle.dumps(TrajectoryStore("store"))
    assert len(pickled) < 500
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    np.testing.assert_array_equal(pickle.loads(pickled).ids(0), FIRST_LETTERS)


def test_the_digest_tells_stores_apart_and_does_not_depend_on_the_place(tmp_path: Path) -> None:
    digests = []
    for name, ids in (("a", FIRST_LETTERS), ("b", FIRST_LETTERS), ("c", FIRST_LETTERS[:, ::-1])):
        with StoreWriter(tmp_path / name, Vocabulary("v", 5, {})) as writer:
            writer.add("t", "", ids)
        digests.append(TrajectoryStore(tmp_path / name).digest)
    assert digests[0] == digests[1] != digests[2]


def test_a_store_is_not_seen_before_it_is_complete(tmp_path: Path) -> None:
    with StoreWriter(tmp_path / "store", Vocabulary("v", 5, {})) as writer:
        writer.add("t", "", FIRST_LETTERS)
        assert not (tmp_path / "store").exists()
    assert [path.name for path in tmp_path.iterdir()] == ["store"]


def test_a_writer_that_fails_leaves_nothing(tmp_path: Path) -> None:
    def write(*tables: np.ndarray) -> None:
        with StoreWriter(tmp_path / "deep" / "store", Vocabulary("v", 5, {})) as writer:
            for number, table in enumerate(tables):
                writer.add(f"t{number}", "", table)

    with pytest.raises(StoreError, match="t1, frame 0, residue 0 has the ID 9"):
        write(FIRST_LETTERS, FIRST_LETTERS + 9)
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(StoreError, match="at least one trajectory"):
        write()
    assert list(tmp_path.iterdir()) == []
    write(FIRST_LETTERS)
    assert [path.name for path in (tmp_path / "deep").iterdir()] == ["store"]


def test_a_writer_refuses_a_directory_that_exists(store: Path) -> None:
    with pytest.raises(StoreError, match=r"store exists; remove it"):
        StoreWriter(store, Vocabulary("v", 5, {}))
    TrajectoryStore(store, verify=True)


def test_a_source_is_recorded_once(tmp_path: Path) -> None:
    with StoreWriter(tmp_path / "store", Vocabulary("v", 5, {})) as writer:
        writer.add("t", "", FIRST_LETTERS)
        for version in (1, 1, 2):
            writer.add_source({"package": "p", "version": version})
    assert [source["version"] for source in TrajectoryStore(tmp_path / "store").sources] == [1, 2]


@pytest.mark.parametrize(
    ("name", "ids", "time_step_ns", "message"),
    [
        ("first", FIRST_LETTERS, 1.0, "two trajectories named 'first'"),
        ("", FIRST_LETTERS, 1.0, "has no name"),
        (
            "t",
            FIRST_LETTERS[0],
            1.0,
            r"t: ids are int64 of shape \(3,\), expected integers of shape \(frames, residues\)",
        ),
        ("t", FIRST_LETTERS.astype(float), 1.0, "ids are float64"),
        ("t", FIRST_LETTERS[:0], 1.0, r"shape \(0, 3\)"),
        ("t", np.array([[0, 1], [1, 5]]), 1.0, r"t, frame 1, residue 1 has the ID 5, expected -1 \(missing\) to 4"),
        ("t", np.array([[0, -2]]), 1.0, "frame 0, residue 1 has the ID -2"),
        ("t", FIRST_LETTERS, 0.0, "time_step_ns is 0.0, expected a positive number, or NaN"),
    ],
)
def test_a_writer_refuses_bad_trajectories(
    tmp_path: Path, name: str, ids: np.ndarray, time_step_ns: float, message: str
) -> None:
    with StoreWriter(tmp_path / "store", Vocabulary("v", 5, {})) as writer:
        writer.add("first", "", FIRST_LETTERS)
        with pytest.raises(StoreError, match=message):
            writer.add(name, "", ids, time_step_ns)
    assert len(TrajectoryStore(tmp_path / "store")) == 1


def test_a_vocabulary_that_json_cannot_hold_is_refused_before_any_work(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="the tokenizer of v cannot be written as JSON"):
        StoreWriter(tmp_path / "store", Vocabulary("v", 5, {"centroids": np.eye(2)}))


@pytest.mark.parametrize("name", ["index", "ids-00000", "../escape", "centroids"])
def test_an_array_cannot_take_the_name_of_another_file(tmp_path: Path, name: str) -> None:
    with StoreWriter(tmp_path / "store", Vocabulary("v", 5, {})) as writer:
        writer.add("t", "", FIRST_LETTERS)
        writer.add_array("centroids", np.eye(2))
        with pytest.raises(StoreError, match="cannot name an array"):
            writer.add_array(name, np.zeros(3))
    np.testing.assert_array_equal(TrajectoryStore(tmp_path / "store", verify=True).array("centroids"), np.eye(2))


def test_an_array_that_is_not_there_is_named(store: Path) -> None:
    with pytest.raises(StoreError, match="keeps no array 'scales'"):
        TrajectoryStore(store).array("scales")


def test_a_place_without_a_store_is_named(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match=r"is not a trajectory store: it has no store\.json"):
        TrajectoryStore(tmp_path)


def test_a_store_that_is_misspelt_is_answered_with_the_nearest_and_a_folder_with_what_is_in_it(store: Path) -> None:
    with pytest.raises(StoreError, match=r"stor is not a trajectory store: .*; did you mean .*/store\?"):
        TrajectoryStore(store.with_name("stor"))
    with pytest.raises(StoreError, match=r"it is a folder of stores: give one of .*/store"):
        TrajectoryStore(store.parent)


def test_an_unknown_sample_lists_the_known_ones() -> None:
    with pytest.raises(StoreError, match=r"no sample 'protein_block'; .* kmeans_environment, protein_blocks, threedi"):
        find_store("sample:protein_block")

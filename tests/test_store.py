"""The trajectory store: what is written comes back, and what is damaged is named."""

import json
import pickle
from pathlib import Path

import numpy as np
import pytest

from emprot_core.contracts import Vocabulary
from emprot_core.data import store_writer
from emprot_core.data.store import INDEX_FIELDS, StoreError, StoreWriter, TrajectoryStore, find_store
from emprot_core.data.store_format import sha256

FIRST = np.array([[0, 1, -1], [2, 3, 4]])
SECOND = np.array([[4], [4], [-1]])


@pytest.fixture
def store(tmp_path: Path) -> Path:
    """A store of two trajectories with 5 classes, and an array."""
    vocabulary = Vocabulary("letters", 5, {"name": "letters", "classes": "abcde"})
    with StoreWriter(tmp_path / "store", vocabulary, [{"package": "p", "licence": "MIT"}]) as writer:
        writer.add("first", "P1", FIRST, time_step_ns=0.2)
        writer.add("second", "P2", SECOND)
        writer.add_array("centroids", np.eye(5))
    return tmp_path / "store"


def change_json(store: Path, **parts: object) -> None:
    meta = json.loads((store / "store.json").read_text())
    (store / "store.json").write_text(json.dumps({**meta, **parts}))


def replace_file(store: Path, name: str, array: np.ndarray) -> None:
    """Replace a file of the store, and its size and hash in store.json."""
    np.save(store / name, array)
    files = json.loads((store / "store.json").read_text())["files"]
    files[name] = {"size": (store / name).stat().st_size, "sha256": sha256(store / name)}
    change_json(store, files=files)


def test_a_store_gives_back_what_was_written(store: Path) -> None:
    opened = TrajectoryStore(store, verify=True)
    assert len(opened) == 2
    np.testing.assert_array_equal(opened.ids(0), FIRST)
    np.testing.assert_array_equal(opened.ids(1), SECOND)
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
    np.testing.assert_array_equal(pickle.loads(pickled).ids(0), FIRST)


def test_the_digest_tells_stores_apart_and_does_not_depend_on_the_place(tmp_path: Path) -> None:
    digests = []
    for name, ids in (("a", FIRST), ("b", FIRST), ("c", FIRST[:, ::-1])):
        with StoreWriter(tmp_path / name, Vocabulary("v", 5, {})) as writer:
            writer.add("t", "", ids)
        digests.append(TrajectoryStore(tmp_path / name).digest)
    assert digests[0] == digests[1] != digests[2]


def test_a_store_is_not_seen_before_it_is_complete(tmp_path: Path) -> None:
    with StoreWriter(tmp_path / "store", Vocabulary("v", 5, {})) as writer:
        writer.add("t", "", FIRST)
        assert not (tmp_path / "store").exists()
    assert [path.name for path in tmp_path.iterdir()] == ["store"]


def test_a_writer_that_fails_leaves_nothing(tmp_path: Path) -> None:
    def write(*tables: np.ndarray) -> None:
        with StoreWriter(tmp_path / "deep" / "store", Vocabulary("v", 5, {})) as writer:
            for number, table in enumerate(tables):
                writer.add(f"t{number}", "", table)

    with pytest.raises(StoreError, match="t1, frame 0, residue 0 has the ID 9"):
        write(FIRST, FIRST + 9)
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(StoreError, match="at least one trajectory"):
        write()
    assert list(tmp_path.iterdir()) == []
    write(FIRST)
    assert [path.name for path in (tmp_path / "deep").iterdir()] == ["store"]


def test_a_writer_refuses_a_directory_that_exists(store: Path) -> None:
    with pytest.raises(StoreError, match=r"store exists; remove it"):
        StoreWriter(store, Vocabulary("v", 5, {}))
    TrajectoryStore(store, verify=True)


def test_a_source_is_recorded_once(tmp_path: Path) -> None:
    with StoreWriter(tmp_path / "store", Vocabulary("v", 5, {})) as writer:
        writer.add("t", "", FIRST)
        for version in (1, 1, 2):
            writer.add_source({"package": "p", "version": version})
    assert [source["version"] for source in TrajectoryStore(tmp_path / "store").sources] == [1, 2]


@pytest.mark.parametrize(
    ("name", "ids", "time_step_ns", "message"),
    [
        ("first", FIRST, 1.0, "two trajectories named 'first'"),
        ("", FIRST, 1.0, "has no name"),
        ("t", FIRST[0], 1.0, r"t: ids are int64 of shape \(3,\), expected integers of shape \(frames, residues\)"),
        ("t", FIRST.astype(float), 1.0, "ids are float64"),
        ("t", FIRST[:0], 1.0, r"shape \(0, 3\)"),
        ("t", np.array([[0, 1], [1, 5]]), 1.0, r"t, frame 1, residue 1 has the ID 5, expected -1 \(missing\) to 4"),
        ("t", np.array([[0, -2]]), 1.0, "frame 0, residue 1 has the ID -2"),
        ("t", FIRST, 0.0, "time_step_ns is 0.0, expected a positive number, or NaN"),
    ],
)
def test_a_writer_refuses_bad_trajectories(
    tmp_path: Path, name: str, ids: np.ndarray, time_step_ns: float, message: str
) -> None:
    with StoreWriter(tmp_path / "store", Vocabulary("v", 5, {})) as writer:
        writer.add("first", "", FIRST)
        with pytest.raises(StoreError, match=message):
            writer.add(name, "", ids, time_step_ns)
    assert len(TrajectoryStore(tmp_path / "store")) == 1


def test_a_vocabulary_that_json_cannot_hold_is_refused_before_any_work(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="the tokenizer of v cannot be written as JSON"):
        StoreWriter(tmp_path / "store", Vocabulary("v", 5, {"centroids": np.eye(2)}))


@pytest.mark.parametrize("name", ["index", "ids-00000", "../escape", "centroids"])
def test_an_array_cannot_take_the_name_of_another_file(tmp_path: Path, name: str) -> None:
    with StoreWriter(tmp_path / "store", Vocabulary("v", 5, {})) as writer:
        writer.add("t", "", FIRST)
        writer.add_array("centroids", np.eye(2))
        with pytest.raises(StoreError, match="cannot name an array"):
            writer.add_array(name, np.zeros(3))
    np.testing.assert_array_equal(TrajectoryStore(tmp_path / "store", verify=True).array("centroids"), np.eye(2))


def test_an_array_that_is_not_there_is_named(store: Path) -> None:
    with pytest.raises(StoreError, match="keeps no array 'scales'"):
        TrajectoryStore(store).array("scales")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b"{", r"store\.json cannot be read"),
        (b"[]", r"store\.json cannot be read"),
        (b"\xff\xfe", r"store\.json cannot be read"),
        (b"{}", r"store\.json cannot be read \(it has no 'format'\)"),
        (b'{"format": "emprot-store", "version": 2}', "version 2, expected emprot-store version 1"),
        (b'{"format": "emprot-store", "version": 1}', r"store\.json is damaged \(it has no 'vocabulary'\)"),
    ],
)
def test_a_damaged_description_is_named(store: Path, text: bytes, message: str) -> None:
    (store / "store.json").write_bytes(text)
    with pytest.raises(StoreError, match=message):
        TrajectoryStore(store)


@pytest.mark.parametrize(
    "parts",
    [
        {"vocabulary": {"name": "v"}},
        {"vocabulary": {"name": "v", "num_clusters": "5", "tokenizer": {}}},
        {"vocabulary": {"name": "v", "num_clusters": 0, "tokenizer": {}}},
        {"vocabulary": None},
        {"files": {}},
        {"files": {"index.npy": {"size": 3}}},
        {"files": ["index.npy"]},
        {"sources": None},
    ],
)
def test_a_description_with_wrong_parts_is_refused(store: Path, parts: dict[str, object]) -> None:
    change_json(store, **parts)
    with pytest.raises(StoreError, match=r"store\.json is damaged"):
        TrajectoryStore(store)


def test_a_missing_file_is_named(store: Path) -> None:
    (store / "ids-00000.npy").unlink()
    with pytest.raises(StoreError, match=r"ids-00000\.npy is missing, expected \d+ bytes; copy or prepare"):
        TrajectoryStore(store)


def test_a_file_of_another_size_is_named(store: Path) -> None:
    path = store / "ids-00000.npy"
    path.write_bytes(path.read_bytes()[:-2])
    with pytest.raises(StoreError, match=r"ids-00000\.npy has \d+ bytes, expected \d+ bytes"):
        TrajectoryStore(store)


def test_a_change_that_keeps_the_size_is_found_by_verify(store: Path) -> None:
    path = store / "ids-00000.npy"
    path.write_bytes(path.read_bytes()[:-1] + b"\x01")
    TrajectoryStore(store)
    with pytest.raises(StoreError, match=r"ids-00000\.npy was changed since it was written"):
        TrajectoryStore(store, verify=True)


def test_an_id_out_of_range_is_named_with_its_place(store: Path) -> None:
    replace_file(store, "ids-00000.npy", np.array([0, 1, -1, 2, 7, 4, 4, 4, -1], dtype=np.int16))
    message = r"ids-00000\.npy: trajectory first, frame 1, residue 1 has the ID 7, expected -1 \(missing\) to 4; write"
    with pytest.raises(StoreError, match=message):
        TrajectoryStore(store).check_ids(0)
    TrajectoryStore(store).check_ids(1)
    with pytest.raises(StoreError, match=message):
        TrajectoryStore(store, verify=True)


@pytest.mark.parametrize(
    ("shard", "message"),
    [
        (np.zeros(8, np.int16), r"ids-00000\.npy holds 8 IDs, but trajectory second .* ends at 9"),
        (np.zeros(9, np.float32), r"ids-00000\.npy is float32 of shape \(9,\), expected flat int16 or int32"),
        (np.zeros((9, 1), np.int16), "expected flat int16 or int32"),
    ],
)
def test_a_shard_that_does_not_fit_the_index_is_named(store: Path, shard: np.ndarray, message: str) -> None:
    replace_file(store, "ids-00000.npy", shard)
    with pytest.raises(StoreError, match=message):
        TrajectoryStore(store)


@pytest.mark.parametrize(("field", "value"), [("offset", -1), ("shard", -1), ("num_frames", 0), ("num_residues", 0)])
def test_an_impossible_row_of_the_index_is_named(store: Path, field: str, value: int) -> None:
    index = TrajectoryStore(store).index.copy()
    index[field][1] = value
    replace_file(store, "index.npy", index)
    with pytest.raises(StoreError, match=f"trajectory second has {field} = {value}, expected at least"):
        TrajectoryStore(store)


def test_an_index_with_other_fields_or_none_is_refused(store: Path) -> None:
    index = TrajectoryStore(store).index.copy()
    replace_file(store, "index.npy", index[["name", "group"]].copy())
    with pytest.raises(StoreError, match=r"index\.npy has the fields \('name', 'group'\)"):
        TrajectoryStore(store)
    replace_file(store, "index.npy", np.zeros(3))
    with pytest.raises(StoreError, match=r"index\.npy has the fields None"):
        TrajectoryStore(store)


def test_a_file_that_holds_pickled_objects_is_never_loaded(store: Path) -> None:
    replace_file(store, "index.npy", np.array([{}], dtype=object))
    with pytest.raises(StoreError, match=r"index\.npy cannot be read"):
        TrajectoryStore(store)


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

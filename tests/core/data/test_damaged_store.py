"""A store that is damaged: the file and the place are named."""

import json
from pathlib import Path

import numpy as np
import pytest
from small_stores import write_lettered_store

from emprot_core.data.store import StoreError, TrajectoryStore
from emprot_core.data.store_format import sha256


@pytest.fixture
def store(tmp_path: Path) -> Path:
    return write_lettered_store(tmp_path / "store")


def change_json(store: Path, **parts: object) -> None:
    meta = json.loads((store / "store.json").read_text())
    (store / "store.json").write_text(json.dumps({**meta, **parts}))


def replace_file(store: Path, name: str, array: np.ndarray) -> None:
    """Replace a file of the store, and its size and hash in store.json."""
    np.save(store / name, array)
    files = json.loads((store / "store.json").read_text())["files"]
    files[name] = {"size": (store / name).stat().st_size, "sha256": sha256(store / name)}
    change_json(store, files=files)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b"{", r"store\.json cannot be read"),
        (b"[]", r"store\.json cannot be read"),
        (b"\xff\xfe", r"store\.json cannot be read"),
        (b"{}", r"store\.json cannot be read \(it has no 'format'\)"),
        (b'{"format": "emprot-store", "version": 3}', "version 3, expected emprot-store version 2"),
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

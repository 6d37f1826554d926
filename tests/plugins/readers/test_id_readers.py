"""Readers of cluster IDs that exist: NPY, NPZ, and LMDB environments of frames."""

import pickle
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from backbones import read_all
from emprot_plugins.readers.frame_records import frame_number, load_record
from emprot_plugins.readers.ids_npy import IdsNpy
from emprot_plugins.readers.lmdb_frames import LmdbFrames
from emprot_plugins.tokenizers.precomputed import Precomputed
from made_files import COMPRESS, Attack, record, write_lmdb

IDS = np.random.default_rng(0).integers(0, 50_000, size=(113, 6))
"""In string order, frame 100 comes before frame 2."""


def trajectory(count: int = len(IDS)) -> list[dict[str, Any]]:
    return [record(frame, IDS[frame]) for frame in range(count)]


@pytest.mark.parametrize("suffix", ["npy", "npz"])
@pytest.mark.parametrize("dtype", [np.int16, np.int32, np.int64, np.uint16])
def test_arrays_of_ids_come_back(tmp_path: Path, suffix: str, dtype: type) -> None:
    ids = (IDS % 20).astype(dtype)
    path = tmp_path / f"P1_run2.{suffix}"
    if suffix == "npy":
        np.save(path, ids)
    else:
        np.savez(path, cluster_ids=ids)
    reader = IdsNpy(layout="{protein}_run{replica}." + suffix, group="{protein}", time_step_ns=0.2)
    structure = read_all(reader, path)
    np.testing.assert_array_equal(Precomputed(20).encode(structure), ids)
    assert (structure.group, structure.time_step_ns, structure.coordinates.shape) == ("P1", 0.2, (113, 6, 0, 3))


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.zeros((3, 4)), r"holds float64 of shape \(3, 4\), expected integers"),
        (np.zeros(3, int), r"of shape \(3,\)"),
        (np.zeros((0, 4), int), r"of shape \(0, 4\)"),
        (np.array([[{}]]), "cannot be read as an array"),
    ],
)
def test_an_array_that_is_no_table_of_ids_is_named(tmp_path: Path, array: np.ndarray, message: str) -> None:
    np.save(tmp_path / "a.npy", array)
    with pytest.raises(ValueError, match=rf"a\.npy .*{message}"):
        read_all(IdsNpy(), tmp_path / "a.npy")


def test_an_archive_without_the_array_lists_those_it_has(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", tokens=IDS)
    with pytest.raises(ValueError, match=r"no array 'cluster_ids', but \['tokens'\]; bind ids_npy\.array"):
        read_all(IdsNpy(), tmp_path / "a.npz")
    assert read_all(IdsNpy(array="tokens"), tmp_path / "a.npz").coordinates.shape[:2] == (113, 6)


def test_precomputed_without_ids_says_what_to_bind(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", IDS)
    structure = read_all(IdsNpy(), tmp_path / "a.npy")
    with pytest.raises(ValueError, match="gives coordinates and no cluster IDs"):
        Precomputed(50_000).encode(structure._replace(cluster_ids=None))


@pytest.mark.parametrize("compression", COMPRESS)
@pytest.mark.parametrize("with_table", [True, False])
def test_lmdb_frames_are_read_in_the_order_of_time(tmp_path: Path, compression: str, with_table: bool) -> None:
    metadata = {} if with_table else {"id_to_idx": None}
    path = write_lmdb(tmp_path / "7_dyn_42_traj_1", trajectory(), compression, metadata)
    table = tmp_path / "table.csv"
    table.write_text("Dynamic id, Uniprot ID, PDB ID\n42, P28222, 4IAR\n")
    structure = read_all(LmdbFrames(groups=str(table), time_step_ns=0.2), path)
    np.testing.assert_array_equal(structure.cluster_ids, IDS)
    assert (structure.group, structure.time_step_ns) == ("P28222", 0.2)
    assert structure.segments.tolist() == [0, 0, 0, 0, 1, 1]
    assert structure.residues is not None
    assert structure.residues["number"].tolist() == [38, 39, 40, 41, 50, 51]
    assert structure.notes == ("its records are not in the order of time and were sorted by the number in id",)


def test_an_environment_may_lie_one_folder_deeper_and_a_dynamic_is_a_group(tmp_path: Path) -> None:
    path = write_lmdb(tmp_path / "7_dyn_42_traj_1" / "lmdb", trajectory(5))
    assert read_all(LmdbFrames(), path).group == "dynamic 42"


def test_frames_that_are_missing_are_reported(tmp_path: Path) -> None:
    path = write_lmdb(tmp_path / "env", [row for row in trajectory(20) if row["id"] != "frame_7.pdb"])
    assert any("after frame 6 the step is no longer 1" in note for note in read_all(LmdbFrames(), path).notes)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"cluster_ids": IDS[3][:5]}, r"record 3, frame 3 \(frame_3\.pdb\) has 5 residues, the first frame 6"),
        ({"cluster_ids": IDS[3].astype(float)}, "cluster_ids are float64"),
        ({"cluster_ids": None}, "cluster_ids are object"),
        ({"id": "frame.pdb"}, r"record \d: its id is 'frame\.pdb', expected one with a number"),
        ({"id": "other_4.pdb"}, "two records are frame 4"),
    ],
)
def test_a_bad_record_is_named(tmp_path: Path, change: dict[str, Any], message: str) -> None:
    rows = trajectory(6)
    rows[3] |= change
    path = write_lmdb(tmp_path / "env", rows)
    with pytest.raises(ValueError, match=rf"data\.mdb: .*{message}"):
        read_all(LmdbFrames(), path)


def test_a_table_that_contradicts_the_records_is_refused(tmp_path: Path) -> None:
    table = {f"frame_{(number + 1) % 6}.pdb": number for number in range(6)}
    path = write_lmdb(tmp_path / "env", trajectory(6), metadata={"id_to_idx": table})
    with pytest.raises(ValueError, match=r"is frame_\d\.pdb, but id_to_idx says frame \d"):
        read_all(LmdbFrames(), path)


@pytest.mark.parametrize("compression", COMPRESS)
def test_a_record_that_would_run_code_is_refused_and_runs_nothing(tmp_path: Path, compression: str) -> None:
    rows = trajectory(3)
    rows[1]["cluster_ids"] = Attack(str(tmp_path / "ran"))
    path = write_lmdb(tmp_path / "env", rows, compression)
    with pytest.raises(ValueError, match=r"data\.mdb: record 1: it asks for posix\.mkdir, expected numpy arrays"):
        read_all(LmdbFrames(), path)
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("protocol", range(2, pickle.HIGHEST_PROTOCOL + 1))
def test_plain_containers_of_every_protocol_are_read(protocol: int) -> None:
    value = {
        "id": "frame_1.pdb", "a": IDS[:2], "text": np.array(["A", "B"]), "scalar": np.int64(3), "set": {1, 2},
        "nested": [(1.5, None, True), {"b": b"\0\xff"}], "fortran": np.asfortranarray(np.eye(3, dtype=np.float32)),
    }  # fmt: skip
    read = load_record(pickle.dumps(value, protocol))
    for key in ("a", "text", "fortran"):
        np.testing.assert_array_equal(read[key], value[key])
    assert read["nested"] == value["nested"]
    assert (read["scalar"], read["set"]) == (3, {1, 2})


@pytest.mark.parametrize("value", [b"", b"\x80\x04", b"\x1f\x8bnot gzip", b"\x04\x22\x4d\x18no", b"text"])
def test_damaged_values_are_refused(value: bytes) -> None:
    pytest.importorskip("lz4.frame")
    with pytest.raises(ValueError, match=r"it cannot be read|it is cut short|it says that it holds more"):
        load_record(value)
    with pytest.raises(ValueError, match="it is a list, expected a dict"):
        load_record(pickle.dumps([1]))


@pytest.mark.parametrize(("name", "number"), [("frame_123.pdb", 123), ("run2_frame_007.pdb", 7), ("12", 12), (5, 5)])
def test_the_number_of_a_frame_is_the_last_one_in_its_id(name: Any, number: int) -> None:
    assert frame_number(name) == number


def test_what_is_no_environment_is_named(tmp_path: Path) -> None:
    pytest.importorskip("lmdb")
    (tmp_path / "data.mdb").write_bytes(b"nothing" * 1000)
    with pytest.raises(ValueError, match=r"data\.mdb cannot be opened as an LMDB environment"):
        read_all(LmdbFrames(), tmp_path / "data.mdb")


def test_missing_libraries_name_the_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "lmdb", None)
    monkeypatch.setitem(sys.modules, "lz4.frame", None)
    with pytest.raises(ModuleNotFoundError, match=r"emprot\[lmdb\]"):
        read_all(LmdbFrames(), tmp_path / "data.mdb")
    with pytest.raises(ModuleNotFoundError, match=r"emprot\[lmdb\]"):
        load_record(b"\x04\x22\x4d\x18")

"""Readers of mdCATH and MISATO, on files made in their documented schema."""

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from backbones import BACKBONE, extended_chain, pdb_text, read_all
from emprot_plugins.prepare.prepare import Prepare
from emprot_plugins.prepare.trajectory_files import find_trajectories
from emprot_plugins.readers.backbone_npz import BackboneNpz
from emprot_plugins.readers.mdcath_h5 import MdCath
from emprot_plugins.readers.misato_h5 import Misato, find_backbone
from made_files import RESIDUES, write_mdcath

from emprot_core import registry
from emprot_core.data.store import SAMPLE_ROOT, TrajectoryStore


def test_mdcath_gives_each_replica_of_each_temperature_under_its_name(tmp_path: Path) -> None:
    path = tmp_path / "mdcath_dataset_1abcA00.h5"
    frames = write_mdcath(path)
    found = find_trajectories([str(path)], MdCath())
    assert list(found) == [f"mdcath_dataset_1abcA00/{name}" for name in ("320/0", "320/1", "348/0", "348/1")]
    assert MdCath(temperatures=[348]).members(path) == ["348/0", "348/1"]
    structure = read_all(MdCath(), found["mdcath_dataset_1abcA00/348/1"])
    np.testing.assert_array_equal(structure.coordinates, frames[:, :, BACKBONE])
    assert (structure.group, structure.time_step_ns, structure.notes) == ("1abcA00", 1.0, ())
    assert structure.residues is not None
    assert structure.residues[["number", "name", "chain"]].tolist() == [(number, "ALA", "A") for number in range(1, 7)]


def test_mdcath_counts_the_frames_that_are_there(tmp_path: Path) -> None:
    write_mdcath(tmp_path / "a.h5", num_frames=9)
    structure = read_all(MdCath(), tmp_path / "a.h5" / "348/1")
    assert len(structure.coordinates) == 4
    assert structure.notes == ("the file announces 9 frames, but holds 4",)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"coords": np.zeros((2, 7, 3))}, r"coords has shape \(2, 7, 3\), expected \(frames, 30, 3\)"),
        ({"coords": np.zeros((0, 30, 3))}, r"coords has shape \(0, 30, 3\), expected .* one frame or more"),
        ({"pdb": "ATOM      1  N   ALA A   1\n"}, "pdbProteinAtoms names 1 atoms, resname 30"),
        (
            {"pdb": pdb_text(extended_chain(1, RESIDUES)).replace(" C   ALA A   4", " X   ALA A   4")},
            r"1 residues lack backbone atoms: ALA 4 \(no C\)",
        ),
    ],
)
def test_a_bad_mdcath_file_is_named(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    write_mdcath(tmp_path / "a.h5", **changes)
    with pytest.raises(ValueError, match=rf"a\.h5.*{message}"):
        read_all(MdCath(), tmp_path / "a.h5" / "348/1")


def test_a_file_without_the_group_lists_those_it_has(tmp_path: Path) -> None:
    write_mdcath(tmp_path / "a.h5")
    with pytest.raises(ValueError, match=r"a\.h5: /1abcA00 has no '450', but \['320', '348', 'chain'"):
        MdCath(temperatures=[450]).members(tmp_path / "a.h5")
    with pytest.raises(ValueError, match=r"a\.h5: /1abcA00/348 has no '7'"):
        read_all(MdCath(), tmp_path / "a.h5" / "348/7")
    with pytest.raises(ValueError, match=r"a\.h5: / has no '10GS'"):
        read_all(Misato(), tmp_path / "a.h5" / "10GS")


@pytest.mark.parametrize("reader", [MdCath(), Misato()])
def test_a_file_that_is_not_hdf5_is_named(tmp_path: Path, reader: Any) -> None:
    pytest.importorskip("h5py")
    (tmp_path / "a.h5").write_bytes(b"nothing")
    with pytest.raises(ValueError, match=r"a\.h5 cannot be read as HDF5"):
        reader.members(tmp_path / "a.h5")


@pytest.mark.parametrize("reader", [MdCath(), Misato()])
def test_reading_without_h5py_names_the_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, reader: Any) -> None:
    monkeypatch.setitem(sys.modules, "h5py", None)
    with pytest.raises(ModuleNotFoundError, match=r"emprot\[hdf5\]"):
        reader.members(tmp_path / "a.h5")


# Atoms of a residue as MISATO has them, all hydrogens included: serine, whose C-O bond is not a carbonyl.
SERINE = np.array(
    [
        [7, 0.0, 0.0, 0.0], [1, -0.3, -0.9, 0.3], [6, 1.46, 0.0, 0.0], [1, 1.8, -0.6, 0.8], [6, 1.95, 1.43, 0.1],
        [1, 3.04, 1.42, 0.1], [1, 1.6, 1.95, 1.0], [8, 1.48, 2.1, -1.0], [1, 1.8, 3.0, -1.0], [6, 2.0, -0.7, -1.25],
        [8, 1.4, -0.6, -2.3],
    ]
)  # fmt: skip


def write_misato(path: Path) -> np.ndarray:
    """Two entries of five serines and a ligand; gives the frames (3, 55, 3) of the protein of 1ABC."""
    h5py = pytest.importorskip("h5py")
    bond = np.array([0.6, -1.1, -0.45])
    step = SERINE[9, 1:] + 1.33 * bond / np.linalg.norm(bond)
    protein = np.concatenate([SERINE[:, 1:] + number * step for number in range(5)])
    ligand = np.array([[50.0, 0, 0], [51.4, 0, 0], [52.6, 0, 0]])
    still = np.concatenate([protein, ligand])
    frames = still + np.random.default_rng(0).normal(scale=0.02, size=(3, len(still), 3))
    with h5py.File(path, "w") as file:
        for name in ("1ABC", "10GS"):
            entry = file.create_group(name)
            entry["trajectory_coordinates"] = frames.astype(np.float32)
            entry["molecules_begin_atom_index"] = np.array([0, 55])
            entry["atoms_number"] = np.array([*np.tile(SERINE[:, 0], 5), 6, 6, 8], dtype=int)
            entry["atoms_residue"] = np.array([17] * 55 + [0] * 3)
            entry["atoms_type"] = np.zeros(58, int)
            entry["atoms_element"] = np.zeros(58, int)
    return frames[:, :55]


def test_misato_gives_the_protein_of_each_entry(tmp_path: Path) -> None:
    path = tmp_path / "MD.hdf5"
    protein = write_misato(path)
    table = tmp_path / "t.csv"
    table.write_text("PDB ID,Uniprot ID\n1ABC,P1\n10GS,P2\n")
    reader = Misato(groups=str(table), time_step_ns=0.08)
    found = find_trajectories([str(path)], reader)
    assert list(found) == ["MD/10GS", "MD/1ABC"]
    structure = read_all(reader, found["MD/1ABC"])
    expected = protein.reshape(3, 5, 11, 3)[:, :, [0, 2, 9, 10]]
    np.testing.assert_allclose(structure.coordinates, expected, atol=1e-5)
    assert structure.segments.tolist() == [0] * 5
    assert (structure.group, structure.time_step_ns) == ("P1", 0.08)
    assert structure.residues is not None
    assert set(structure.residues["name"].tolist()) == {"17"}
    assert read_all(Misato(), found["MD/1ABC"]).group == "1ABC"


def test_the_backbone_of_a_real_protein_is_found_by_its_bonds() -> None:
    backbone = BackboneNpz().read(SAMPLE_ROOT / "coordinates" / "pbxplore_psi.npz").coordinates
    elements = np.tile([7, 6, 6, 8], 56)
    for frame in backbone[::50]:
        assert find_backbone(elements, frame.reshape(-1, 3)).tolist() == np.arange(224).reshape(-1, 4).tolist()


def test_a_misato_entry_without_a_protein_is_named(tmp_path: Path) -> None:
    h5py = pytest.importorskip("h5py")
    write_misato(tmp_path / "a.h5")
    with h5py.File(tmp_path / "a.h5", "a") as file:
        file["1ABC/molecules_begin_atom_index"][...] = [0, 2]
    with pytest.raises(ValueError, match=r"a\.h5: 1ABC has no backbone before its last molecule"):
        read_all(Misato(), tmp_path / "a.h5" / "1ABC")


def test_a_damaged_file_among_many_is_skipped_by_name(tmp_path: Path) -> None:
    write_mdcath(tmp_path / "good.h5")
    (tmp_path / "bad.h5").write_bytes(b"nothing")
    tokenizer = registry.get("tokenizer", "rama_bins")(6)
    job = Prepare(str(tmp_path / "*.h5"), MdCath(), [tokenizer], str(tmp_path / "out"), on_error="skip")
    job.run(None)  # type: ignore[arg-type]  # it needs nothing of the run
    store = TrajectoryStore(tmp_path / "out" / "rama_bins")
    assert store.index["name"].tolist() == ["good/320/0", "good/320/1", "good/348/0", "good/348/1"]
    assert set(store.index["group"].tolist()) == {"1abcA00"}
    report = json.loads((tmp_path / "out" / "rama_bins.report.json").read_text())
    assert "cannot be read as HDF5" in report["skipped"]["bad"]
    with pytest.raises(ValueError, match=r"good\.h5 holds the trajectories 320/0, 320/1, .* give one of them"):
        read_all(MdCath(), tmp_path / "good.h5")

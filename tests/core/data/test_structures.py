"""Residue tables and reference backbones of a store."""

import json

import numpy as np
import pytest
from small_stores import write_lettered_store

from emprot_core.contracts import RESIDUE_DTYPE, Vocabulary
from emprot_core.data.joined_stores import JoinedStores
from emprot_core.data.store import StoreError, StoreWriter, TrajectoryStore

CODES = [(10, "", "ALA", "A", "S1"), (10, "A", "GLY", "A", "S1"), (12, "", "TRP", "B", "S2")]
RESIDUES = np.array(CODES, RESIDUE_DTYPE)
BACKBONE = np.arange(36, dtype=np.float32).reshape(3, 4, 3)


def write(directory, *rows):
    """A store of trajectories of 3 residues; rows: (name, group, residues, backbone)."""
    with StoreWriter(directory, Vocabulary("v", 4, {})) as writer:
        for name, group, residues, backbone in rows:
            writer.add(name, group, np.zeros((5, 3), int), residues=residues, backbone=backbone)
    return TrajectoryStore(directory, verify=True)


def test_trajectories_of_one_group_and_table_share_the_first_backbone(tmp_path):
    other = RESIDUES.copy()
    other["number"] += 1
    store = write(
        tmp_path / "s",
        ("a", "G", RESIDUES, BACKBONE),
        ("b", "G", RESIDUES, BACKBONE + 1),
        ("c", "H", RESIDUES, BACKBONE + 2),
        ("d", "G", None, None),
        ("e", "G", other, None),
    )
    first, second, third, none, last = (store.structure(row) for row in range(5))
    for found, backbone in ((first, BACKBONE), (second, BACKBONE), (third, BACKBONE + 2)):
        assert (found[0] == RESIDUES).all()
        assert (found[1] == backbone).all()
    assert none is None
    assert (last[0] == other).all()
    assert np.isnan(last[1]).all()
    assert len(np.load(tmp_path / "s" / "structures.npy")) == 3
    assert json.loads((tmp_path / "s" / "store.json").read_text())["version"] == 2


def test_a_store_without_structures_has_no_file_of_them(tmp_path):
    store = TrajectoryStore(write_lettered_store(tmp_path / "s"))
    assert store.structure(0) is None
    assert not list((tmp_path / "s").glob("structure*"))


def test_stores_of_version_1_open_as_before(tmp_path):
    write_lettered_store(tmp_path / "s")
    path = tmp_path / "s" / "store.json"
    path.write_text(path.read_text().replace('"version": 2', '"version": 1'))
    store = TrajectoryStore(tmp_path / "s", verify=True)
    assert (len(store), store.structure(1)) == (2, None)
    path.write_text(path.read_text().replace('"version": 1', '"version": 3'))
    with pytest.raises(StoreError, match="is emprot-store version 3, expected emprot-store version 2 or older"):
        TrajectoryStore(tmp_path / "s")


def test_a_table_with_fewer_fields_is_completed(tmp_path):
    named = np.array([("ALA",), ("GLY",), ("TRP",)], [("name", "U3")])
    residues, _ = write(tmp_path / "s", ("a", "G", named, None)).structure(0)
    assert residues.tolist() == [(1, "", "ALA", "", ""), (2, "", "GLY", "", ""), (3, "", "TRP", "", "")]


@pytest.mark.parametrize("change", [{"residues": RESIDUES[:2]}, {"residues": RESIDUES, "backbone": BACKBONE[:, :3]}])
def test_a_table_of_other_residues_is_refused(tmp_path, change):
    with (
        pytest.raises(StoreError, match=r"a has IDs of 3 residues"),
        StoreWriter(tmp_path / "s", Vocabulary("v", 4, {})) as w,
    ):
        w.add("a", "G", np.zeros((5, 3), int), **change)


@pytest.mark.parametrize(
    ("name", "array"),
    [
        ("structures", np.zeros(1, [("first_row", "i8"), ("num_residues", "i4")])),
        ("structures", np.array([(2, 3)], [("first_row", "i8"), ("num_residues", "i4")])),
        ("structure_of", np.array([7], np.int32)),
        ("structure_of", np.array([0.0])),
        ("backbone", np.zeros((3, 4), np.float32)),
        ("residues", np.zeros(3)),
    ],
)
def test_arrays_that_do_not_fit_together_are_refused(tmp_path, name, array):
    write(tmp_path / "s", ("a", "G", RESIDUES, BACKBONE))
    np.save(tmp_path / "s" / f"{name}.npy", array)
    meta = json.loads((tmp_path / "s" / "store.json").read_text())
    meta["files"][f"{name}.npy"]["size"] = (tmp_path / "s" / f"{name}.npy").stat().st_size
    (tmp_path / "s" / "store.json").write_text(json.dumps(meta))
    with pytest.raises(StoreError, match="prepare"):
        TrajectoryStore(tmp_path / "s").structure(0)


def test_joined_stores_give_the_structures_of_each(tmp_path):
    one, other = (write(tmp_path / name, (name, "G", RESIDUES, BACKBONE + i)) for i, name in enumerate("ab"))
    joined = JoinedStores([one, other])
    assert (joined.structure(0)[1] == BACKBONE).all()
    assert (joined.structure(1)[1] == BACKBONE + 1).all()


def test_structures_are_no_part_of_the_vocabulary(tmp_path):
    with_structure = write(tmp_path / "a", ("a", "G", RESIDUES, BACKBONE))
    assert with_structure.vocabulary_digest == write(tmp_path / "b", ("a", "G", None, None)).vocabulary_digest
    assert with_structure.vocabulary_arrays == {}


def test_the_sample_knows_its_proteins():
    store = TrajectoryStore("sample:threedi")
    residues, backbone = store.structure(store.index["name"].tolist().index("prolif_5ht1b"))
    assert (residues["number"][0], residues["number"][-1], len(residues)) == (38, 387, 302)
    assert np.isfinite(backbone).all()

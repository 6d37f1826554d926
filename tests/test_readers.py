"""Readers: the backbone of a trajectory, whatever its file calls the atoms."""

import sys
from pathlib import Path

import numpy as np
import pytest
from emprot_plugins.readers.backbone_npz import BackboneNpz, write_backbone
from emprot_plugins.readers.md import MDTrajectory, chain_segments

from emprot_core.contracts import Structure

RESIDUES = np.array([(7, "GLY"), (8, "ALA"), (12, "TRP")], dtype=[("number", np.int32), ("name", "U4")])


@pytest.fixture
def structure() -> Structure:
    """Forty frames of three residues that wander."""
    steps = np.random.default_rng(0).normal(scale=2.0, size=(40, 3, 4, 3))
    coordinates = (np.cumsum(steps, axis=0) - 60).astype(np.float32)
    return Structure(coordinates, np.array([0, 0, 1]), RESIDUES, "P1", 0.2, {"package": "p", "licence": "MIT"})


@pytest.mark.parametrize("unit", [0.01, 0.05])
def test_a_backbone_comes_back_within_half_a_unit(structure: Structure, tmp_path: Path, unit: float) -> None:
    write_backbone(tmp_path / "a.npz", structure, unit)
    read = BackboneNpz().read(tmp_path / "a.npz")
    assert read.coordinates.dtype == np.float32
    # An atom and its CA are rounded apart, on the same grid: the error of one coordinate is that of one rounding.
    np.testing.assert_allclose(read.coordinates, structure.coordinates, atol=0.5 * unit + 1e-4)
    assert read.segments.tolist() == [0, 0, 1]
    assert read.residues is not None
    assert read.residues.tolist() == RESIDUES.tolist()
    assert (read.group, read.time_step_ns, read.source) == ("P1", 0.2, {"package": "p", "licence": "MIT"})


def test_the_same_backbone_gives_the_same_file(structure: Structure, tmp_path: Path) -> None:
    for name in ("a.npz", "b.npz"):
        write_backbone(tmp_path / name, structure)
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()


@pytest.mark.parametrize("value", [np.nan, np.inf, 1e4])
def test_a_coordinate_that_the_file_cannot_hold_is_refused(structure: Structure, tmp_path: Path, value: float) -> None:
    structure.coordinates[3, 1, 2, 0] = value
    with pytest.raises(ValueError, match=r"expected finite ones that move less than 819\.2 Angstrom a frame"):
        write_backbone(tmp_path / "a.npz", structure)
    assert not (tmp_path / "a.npz").exists()


def test_a_damaged_backbone_file_is_named(structure: Structure, tmp_path: Path) -> None:
    path = tmp_path / "a.npz"
    write_backbone(path, structure)
    whole = path.read_bytes()
    for content in (b"", b"text", whole[: len(whole) // 2], whole[:300] + b"\0" * 200 + whole[500:]):
        path.write_bytes(content)
        with pytest.raises(ValueError, match=r"a\.npz is not a backbone file"):
            BackboneNpz().read(path)
    np.savez(path, other=np.zeros(3))
    with pytest.raises(ValueError, match=r"a\.npz is not a backbone file"):
        BackboneNpz().read(path)
    with path.open("wb") as file:
        np.save(file, np.zeros(3))
    with pytest.raises(ValueError, match=r"a\.npz is not a backbone file"):
        BackboneNpz().read(path)
    with pytest.raises(ValueError, match=r"none\.npz is not a backbone file"):
        BackboneNpz().read(tmp_path / "none.npz")


def test_a_chain_is_broken_where_carbon_and_nitrogen_are_two_angstrom_apart() -> None:
    backbone = np.zeros((4, 4, 3))
    backbone[:, 0, 0] = [0.0, 1.9, 4.1, 6.0]  # N
    backbone[:, 2, 0] = [0.0, 2.0, 4.5, 6.5]  # C: 1.9, 2.1 and 1.5 before the next N
    assert chain_segments(backbone).tolist() == [0, 0, 1, 1]
    backbone[3] = np.nan
    assert chain_segments(backbone).tolist() == [0, 0, 1, 2]


def pdb(*frames: list[tuple[str, str, int, float]]) -> str:
    """A PDB file: atom name, residue name and number, and x of each atom of each frame."""
    lines = []
    for number, atoms in enumerate(frames, start=1):
        lines.append(f"MODEL     {number:4d}")
        for serial, (name, residue, resid, x) in enumerate(atoms, start=1):
            lines.append(
                f"ATOM  {serial:5d}  {name:<3s} {residue} A{resid:4d}    {x:8.3f}{0:8.3f}{0:8.3f}  1.00  0.00"
                f"          {name[0]:>2s}"
            )
        lines.append("ENDMDL")
    return "\n".join([*lines, "END", ""])


def test_a_trajectory_is_read_with_its_topology(tmp_path: Path) -> None:
    pytest.importorskip("MDAnalysis")
    first = [
        ("N", "ALA", 5, 0.0), ("CA", "ALA", 5, 1.5), ("CB", "ALA", 5, 9.0), ("C", "ALA", 5, 3.0), ("O", "ALA", 5, 3.5),
        ("CA", "SER", 6, 5.0),  # no backbone: left out
        ("N", "GLY", 7, 4.3), ("CA", "GLY", 7, 5.8), ("C", "GLY", 7, 7.3), ("OT1", "GLY", 7, 7.5), ("OT2", "GLY", 7, 7),
        ("N", "LIG", 8, 8.6), ("CA", "LIG", 8, 9.0), ("C", "LIG", 8, 9.5), ("O", "LIG", 8, 9.9),  # no amino acid
    ]  # fmt: skip
    second = [(name, residue, number, x + 1.0) for name, residue, number, x in first]
    (tmp_path / "run.pdb").write_text(pdb(first, second))
    structure = MDTrajectory("run.pdb", group="P1", time_step_ns=0.2).read(tmp_path / "run.pdb")
    assert structure.residues is not None
    assert structure.residues.tolist() == [(5, "ALA"), (7, "GLY")]
    expected = np.array([[0.0, 1.5, 3.0, 3.5], [4.3, 5.8, 7.3, 7.5]])
    np.testing.assert_allclose(structure.coordinates[..., 0], [expected, expected + 1.0], atol=1e-5)
    assert structure.segments.tolist() == [0, 0]
    assert (structure.group, structure.time_step_ns) == ("P1", 0.2)


def test_trajectories_that_cannot_be_read_are_named(tmp_path: Path) -> None:
    pytest.importorskip("MDAnalysis")
    (tmp_path / "water.pdb").write_text(pdb([("O", "HOH", 1, 0.0)]))
    (tmp_path / "other.pdb").write_text(pdb([("O", "HOH", 1, 0.0), ("O", "HOH", 2, 5.0)]))
    with pytest.raises(ValueError, match=r"there is no file .*top\.pdb"):
        MDTrajectory("top.pdb").read(tmp_path / "other.pdb")
    with pytest.raises(ValueError, match=r"other\.pdb cannot be read with the topology"):
        MDTrajectory("water.pdb").read(tmp_path / "other.pdb")
    with pytest.raises(ValueError, match="has 0 residues with N, CA, C and O"):
        MDTrajectory("water.pdb").read(tmp_path / "water.pdb")


def test_reading_without_mdanalysis_names_the_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "run.pdb").write_text("")
    monkeypatch.setitem(sys.modules, "MDAnalysis", None)
    with pytest.raises(ModuleNotFoundError, match=r"emprot\[md\]"):
        MDTrajectory("run.pdb").read(tmp_path / "run.pdb")

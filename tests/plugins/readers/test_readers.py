"""The reader of the sample: backbones in small NPZ files."""

from pathlib import Path

import numpy as np
import pytest
from emprot_plugins.readers.backbone_npz import BackboneNpz, write_backbone

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

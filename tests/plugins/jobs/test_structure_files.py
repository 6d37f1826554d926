"""Structure files, read back by MDAnalysis and gemmi."""

import warnings

import gemmi
import MDAnalysis
import numpy as np
import pytest
from emprot_plugins.jobs.structure_files import Coloured, write_colours, write_mmcif, write_pdb

from emprot_core.contracts import RESIDUE_DTYPE
from emprot_core.data.store import TrajectoryStore
from emprot_core.errors import EmprotError


@pytest.fixture(scope="module")
def coloured():
    """5-HT1B with a value for most residues."""
    store = TrajectoryStore("sample:threedi")
    residues, backbone = store.structure(store.index["name"].tolist().index("prolif_5ht1b"))
    values = np.random.default_rng(0).random(302)
    values[[0, 1, 150]] = np.nan
    return Coloured(residues, backbone, values, "change probability")


def test_every_residue_stands_in_the_pdb_file_with_its_value(coloured, tmp_path):
    path = tmp_path / "x.pdb"
    write_pdb(path, coloured)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # MDAnalysis misses elements and a box
        universe = MDAnalysis.Universe(str(path))
    alphas = universe.select_atoms("name CA")
    assert alphas.resids.tolist() == coloured.residues["number"].tolist()
    assert (alphas.resids[0], alphas.resids[-1], len(alphas)) == (38, 387, 302)
    assert alphas.resnames.tolist() == coloured.residues["name"].tolist()
    assert alphas.tempfactors == pytest.approx(np.nan_to_num(coloured.values), abs=0.01)
    assert (alphas.occupancies == np.isfinite(coloured.values)).all()
    assert alphas.positions == pytest.approx(coloured.backbone[:, 1], abs=1e-3)


@pytest.mark.parametrize("write", [write_pdb, write_mmcif])
def test_gemmi_reads_the_same(coloured, tmp_path, write):
    path = tmp_path / ("x.pdb" if write is write_pdb else "x.cif")
    write(path, coloured)
    structure = gemmi.read_structure(str(path))  # its residues live as long as it does
    residues = [residue for chain in structure[0] for residue in chain]
    assert [residue.seqid.num for residue in residues] == coloured.residues["number"].tolist()
    assert [atom.name for atom in residues[0]] == ["N", "CA", "C", "O"]
    found = np.array([[residue["CA"][0].b_iso, residue["CA"][0].occ] for residue in residues])
    assert found[:, 0] == pytest.approx(np.nan_to_num(coloured.values), abs=0.01)
    assert (found[:, 1] == np.isfinite(coloured.values)).all()


def odd(times=1, **changes):
    residues = np.array([(5, "A", "ALA", "B", "S")] * 2 * times, RESIDUE_DTYPE)
    for field, value in changes.items():
        residues[field] = value
    return Coloured(residues, np.zeros((2 * times, 4, 3), np.float32), np.array([0.5, np.nan] * times), "x")


def test_insertion_codes_and_chains_are_kept_and_unknown_atoms_left_out(tmp_path):
    one = odd()
    one.backbone[1, 3] = np.nan
    write_pdb(tmp_path / "x.pdb", one)
    structure = gemmi.read_structure(str(tmp_path / "x.pdb"))
    (chain,) = structure[0]
    assert chain.name == "B"
    assert {residue.seqid.icode for residue in chain} == {"A"}
    lines = (tmp_path / "x.pdb").read_text().splitlines()
    assert len([line for line in lines if line.startswith("ATOM")]) == 7


@pytest.mark.parametrize(
    ("coloured", "message"),
    [
        (odd(chain="AB"), "cannot hold the chain 'AB'; write mmCIF"),
        (odd(number=12345), "residue numbers from 12345 to 12345; write mmCIF"),
        (odd()._replace(backbone=np.full((2, 4, 3), 1e4)), "coordinates from 10000 to 10000; write mmCIF"),
        (odd(times=15_000), "residues; write mmCIF"),
    ],
)
def test_what_a_pdb_file_cannot_hold_is_refused_and_mmcif_holds_it(tmp_path, coloured, message):
    with pytest.raises(EmprotError, match=message):
        write_pdb(tmp_path / "x.pdb", coloured)
    assert not (tmp_path / "x.pdb").exists()
    write_mmcif(tmp_path / "x.cif", coloured)
    structure = gemmi.read_structure(str(tmp_path / "x.cif"))
    (chain,) = structure[0]
    assert chain.name == coloured.residues["chain"][0]
    assert chain[0]["CA"][0].b_iso == pytest.approx(coloured.values[0])


def test_more_residues_than_numbers_fit_where_they_are_in_several_chains(tmp_path):
    many = odd(times=6_000)
    many.residues["number"] = np.arange(12_000) % 6_000 + 1
    many.residues["chain"][6_000:] = "C"
    write_pdb(tmp_path / "x.pdb", many)
    chains = gemmi.read_structure(str(tmp_path / "x.pdb"))[0]
    assert [(chain.name, len(chain)) for chain in chains] == [("B", 6_000), ("C", 6_000)]


@pytest.mark.parametrize(("values", "divisor"), [([1234.5, 3.0], 10), ([-123.4, 3.0], 10), ([999.99, -99.99], 1)])
def test_values_too_large_for_the_column_are_divided_by_a_power_of_ten(tmp_path, values, divisor):
    large = odd(number=[5, 6])._replace(values=np.array(values))
    write_pdb(tmp_path / "x.pdb", large)
    (chain,) = gemmi.read_structure(str(tmp_path / "x.pdb"))[0]
    assert [residue["CA"][0].b_iso * divisor for residue in chain] == pytest.approx(values, abs=0.1)
    assert (f"B-FACTOR: X, DIVIDED BY {divisor}\n" in (tmp_path / "x.pdb").read_text()) == (divisor > 1)
    for name, scale in (("x.pdb", divisor), ("x.cif", 1)):
        write_colours(tmp_path / "x.pml", tmp_path / name, large)
        shown = f"minimum={min(values) / scale:.6g}, maximum={max(values) / scale:.6g}"
        assert shown in (tmp_path / "x.pml").read_text()


def test_segments_tell_subunits_apart_where_there_are_no_chains(tmp_path):
    two = odd(chain="", insertion_code="")
    two.residues["segment"] = ["PROA", "PROTEIN2"]
    write_pdb(tmp_path / "x.pdb", two)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert MDAnalysis.Universe(str(tmp_path / "x.pdb")).segments.segids.tolist() == ["PROA", "EIN2"]
    write_mmcif(tmp_path / "x.cif", two)
    assert [chain.name for chain in gemmi.read_structure(str(tmp_path / "x.cif"))[0]] == ["PROA", "PROTEIN2"]


@pytest.mark.parametrize("sign", ["'", "#", '"', "_", "."])
def test_signs_of_mmcif_may_stand_in_the_name_of_a_chain(tmp_path, sign):
    write_mmcif(tmp_path / "x.cif", odd(chain=sign))
    assert gemmi.read_structure(str(tmp_path / "x.cif"))[0][0].name == sign


def test_the_name_of_a_trajectory_cannot_add_a_line(tmp_path):
    sly = odd()._replace(title="change probability\npython\nprint(1); print(2)")
    for write in (write_pdb, write_mmcif):
        write(tmp_path / "x", sly)
        assert "\npython" not in (tmp_path / "x").read_text().lower()
    write_colours(tmp_path / "x.pml", tmp_path / "x.pdb", sly)
    assert "\npython" not in (tmp_path / "x.pml").read_text()
    assert ";" not in (tmp_path / "x.pml").read_text()  # PyMOL runs what follows one, in a comment too


def test_the_script_colours_what_is_known(coloured, tmp_path):
    write_colours(tmp_path / "x.pml", tmp_path / "x-1.pdb", coloured)
    text = (tmp_path / "x.pml").read_text()
    assert "/cmd.load(os.path.join(os.path.dirname(__script__), 'x-1.pdb'), 'x_1')" in text
    known = coloured.values[np.isfinite(coloured.values)]
    assert f"minimum={known.min():.6g}, maximum={known.max():.6g}" in text
    assert "color grey60, %x_1 and q < 0.5" in text


def test_the_script_leaves_other_structures_as_they_are(coloured, tmp_path):
    write_colours(tmp_path / "x.pml", tmp_path / "x.pdb", coloured)
    commands = [line for line in (tmp_path / "x.pml").read_text().splitlines() if line[0] not in "#/"]
    assert [command for command in commands if "%x" not in command] == ["orient"]

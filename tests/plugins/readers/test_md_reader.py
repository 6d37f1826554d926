"""Trajectories of molecular dynamics programs: the backbone, chunk by chunk, whatever the files are called."""

import re
import sys
from importlib import resources
from pathlib import Path

import numpy as np
import pytest
from backbones import BACKBONE, extended_chain, pdb_text, read_all, write_pdb
from emprot_plugins.prepare.reading import read_chunks
from emprot_plugins.readers import chunks
from emprot_plugins.readers.chunks import chain_segments
from emprot_plugins.readers.layout import match_layout, read_groups
from emprot_plugins.readers.md import MDTrajectory
from made_files import write_trajectory

from emprot_core.cli import main
from emprot_core.data.store import TrajectoryStore

FORMATS = ("xtc", "trr", "dcd", "ncdf", "pdb")


def test_a_chain_is_broken_where_carbon_and_nitrogen_are_two_angstrom_apart() -> None:
    backbone = np.zeros((4, 4, 3))
    backbone[:, 0, 0] = [0.0, 1.9, 4.1, 6.0]  # N
    backbone[:, 2, 0] = [0.0, 2.0, 4.5, 6.5]  # C: 1.9, 2.1 and 1.5 before the next N
    assert chain_segments(backbone).tolist() == [0, 0, 1, 1]
    backbone[3] = np.nan
    assert chain_segments(backbone).tolist() == [0, 0, 1, 2]


@pytest.mark.parametrize("suffix", FORMATS)
def test_each_format_gives_the_backbone_that_was_written(
    tmp_path: Path, suffix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    frames = extended_chain(7, 6)
    path = write_trajectory(tmp_path / f"run.{suffix}", frames)
    monkeypatch.setattr(chunks, "CHUNK_BYTES", 12 * 24 * 3)  # three frames of the backbone
    reader = MDTrajectory("" if suffix == "pdb" else "top.pdb", group="P1", time_step_ns=0.2)
    assert [len(chunk.coordinates) for chunk in reader.read(path)] == [3, 3, 1]
    structure = read_all(reader, path)
    np.testing.assert_allclose(structure.coordinates, frames[:, :, BACKBONE], atol=0.006)
    assert structure.coordinates.dtype == np.float32
    assert structure.segments.tolist() == [0] * 6
    assert structure.residues is not None
    assert structure.residues[["number", "name", "chain"]].tolist() == [(number, "ALA", "A") for number in range(1, 7)]
    assert (structure.group, structure.time_step_ns) == ("P1", 0.2)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # of MDAnalysis' reader of NetCDF
@pytest.mark.parametrize("suffix", ["xtc", "trr", "dcd", "ncdf"])
def test_a_trajectory_that_is_cut_short_is_refused_wherever_the_cut_is(tmp_path: Path, suffix: str) -> None:
    path = write_trajectory(tmp_path / f"run.{suffix}", extended_chain(5, 6))
    whole = path.read_bytes()
    for lost in (1, 7, 200, 300, len(whole) // 10):
        path.write_bytes(whole[:-lost])
        with pytest.raises(ValueError, match=rf"run\.{suffix} cannot be read with the topology .*top\.pdb at frame \d"):
            read_all(MDTrajectory("top.pdb"), path)
    path.write_bytes(whole + b"\0\0\0" if suffix == "xtc" else whole)
    if suffix == "xtc":
        with pytest.raises(ValueError, match="3 bytes follow the last whole frame"):
            read_all(MDTrajectory("top.pdb"), path)


def test_nothing_is_written_beside_an_xtc_file(tmp_path: Path) -> None:
    path = write_trajectory(tmp_path / "run.xtc", extended_chain(3, 6))
    read_all(MDTrajectory("top.pdb"), path)
    assert sorted(file.name for file in tmp_path.iterdir()) == ["run.xtc", "top.pdb"]


@pytest.mark.parametrize("suffix", ["xtc", "dcd"])
def test_a_topology_with_another_number_of_atoms_is_named(tmp_path: Path, suffix: str) -> None:
    path = write_trajectory(tmp_path / f"run.{suffix}", extended_chain(2, 6))
    write_pdb(tmp_path / "top.pdb", extended_chain(1, 5))
    with pytest.raises(ValueError, match=r"(?s)run\..* cannot be read .*top\.pdb at frame 0: .*(30.*25|25.*30)"):
        read_all(MDTrajectory("top.pdb"), path)


def test_residues_without_all_backbone_atoms_are_refused_or_left_out_and_named(tmp_path: Path) -> None:
    pytest.importorskip("MDAnalysis")
    frames = extended_chain(2, 5)
    path = write_pdb(tmp_path / "run.pdb", frames, skip=((3, "C"), (3, "O")))
    with pytest.raises(ValueError, match=r"run\.pdb: 1 residues lack backbone atoms: ALA 3 \(no C, O\)"):
        read_all(MDTrajectory(), path)
    structure = read_all(MDTrajectory(incomplete="leave_out"), path)
    assert structure.residues is not None
    assert structure.residues["number"].tolist() == [1, 2, 4, 5]
    assert structure.segments.tolist() == [0, 0, 1, 1]
    assert structure.notes == ("1 residues lack backbone atoms and were left out: ALA 3 (no C, O)",)


def test_terminal_oxygens_ligands_and_alternate_locations_are_told_apart(tmp_path: Path) -> None:
    pytest.importorskip("MDAnalysis")
    frames = extended_chain(1, 2)
    lines = pdb_text(frames).splitlines()
    text = [line.replace(" O   ALA A   2", " OT1 ALA A   2") for line in lines]
    other = next(line for line in lines if " CA  ALA A   1" in line)
    text.insert(3, other[:30] + "   9.000   9.000   9.000" + other[54:])  # a second location
    ligand = [line.replace("ALA", "LIG").replace("A   2", "A   3") for line in lines if "A   2" in line]
    (tmp_path / "run.pdb").write_text("\n".join([*text[:-2], *ligand, *text[-2:]]))
    structure = read_all(MDTrajectory(), tmp_path / "run.pdb")
    np.testing.assert_allclose(structure.coordinates, frames[:, :, BACKBONE], atol=1e-3)


def test_trajectories_that_cannot_be_read_are_named(tmp_path: Path) -> None:
    pytest.importorskip("MDAnalysis")
    (tmp_path / "water.pdb").write_text(pdb_text(extended_chain(1, 2), name="HOH"))
    (tmp_path / "text.pdb").write_text("nothing")
    with pytest.raises(ValueError, match=r"there is no file top\.pdb, here or beside the trajectory"):
        read_all(MDTrajectory("top.pdb"), tmp_path / "water.pdb")
    with pytest.raises(ValueError, match="has 0 residues with N, CA, C and O"):
        read_all(MDTrajectory(), tmp_path / "water.pdb")
    with pytest.raises(ValueError, match=r"text\.pdb"):
        read_all(MDTrajectory(), tmp_path / "text.pdb")
    with pytest.raises(ValueError, match=r"2 files are called .*pdb.*expected one topology"):
        read_all(MDTrajectory(str(tmp_path / "*.pdb")), tmp_path / "water.pdb")


def test_a_coordinate_that_is_not_finite_is_named_with_frame_and_residue(tmp_path: Path) -> None:
    frames = extended_chain(4, 6)
    frames[2, 4, 3, 1] = np.nan
    path = write_trajectory(tmp_path / "run.trr", frames)
    with pytest.raises(ValueError, match=r"run\.trr: frame 2, residue 4 \(ALA 5\) has a coordinate that is not finite"):
        list(read_chunks(MDTrajectory("top.pdb"), path))


def test_reading_without_mdanalysis_names_the_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "run.pdb").write_text("")
    monkeypatch.setitem(sys.modules, "MDAnalysis", None)
    with pytest.raises(ModuleNotFoundError, match=r"emprot\[md\]"):
        read_all(MDTrajectory(), tmp_path / "run.pdb")


@pytest.mark.parametrize("nested", [True, False])
def test_the_layout_of_atlas_gives_topology_and_group_of_each_replica(tmp_path: Path, nested: bool) -> None:
    reader = MDTrajectory("{chain}.pdb", layout="{chain}_R{replica}.xtc", group="{chain}")
    for chain, size in (("16pk_A", 6), ("1a62_B", 5)):
        folder = tmp_path / chain if nested else tmp_path
        folder.mkdir(exist_ok=True)
        for replica in (1, 2):
            path = write_trajectory(folder / f"{chain}_R{replica}.xtc", extended_chain(2, size))
        (folder / "top.pdb").rename(folder / f"{chain}.pdb")
        structure = read_all(reader, path)
        assert (structure.group, structure.coordinates.shape) == (chain, (2, size, 4, 3))
        assert reader.other_files(path) == [folder / f"{chain}.pdb"]


def test_the_layout_of_gpcrmd_joins_the_protein_from_a_table(tmp_path: Path) -> None:
    path = write_trajectory(tmp_path / "10166_trj_8.xtc", extended_chain(2, 6))
    (tmp_path / "top.pdb").rename(tmp_path / "10165_dyn_8.pdb")
    table = tmp_path / "dynamics.csv"
    table.write_text("Dynamic id, Uniprot ID, PDB ID\n8, P28222, 4IAR\n80, P02699, 1U19\n")
    options = {"layout": "*_trj_{dyn}.xtc", "topology": "*_dyn_{dyn}.pdb", "group": "{dyn}", "groups": str(table)}
    assert read_all(MDTrajectory(**options), path).group == "P28222"
    (tmp_path / "10165_dyn_8.pdb").rename(tmp_path / "10165_dyn_9.pdb")
    other = path.rename(tmp_path / "10166_trj_9.xtc")
    with pytest.raises(ValueError, match=r"dynamics\.csv has no group for '9'"):
        read_all(MDTrajectory(**options), other)


@pytest.mark.parametrize(
    ("layout", "files", "groups"),
    [
        (
            "ATLAS",
            ["16pk_A/16pk_A_R1.xtc", "16pk_A/16pk_A_R2.xtc", "1a62_B/1a62_B_R1.xtc"],
            {"16pk_A/16pk_A_R1": "16pk_A", "16pk_A/16pk_A_R2": "16pk_A", "1a62_B/1a62_B_R1": "1a62_B"},
        ),
        (
            "GPCRmd",
            ["8/10166_trj_8.xtc", "8/10167_trj_8.xtc", "81/11001_trj_81.xtc"],
            {"8/10166_trj_8": "P28222", "8/10167_trj_8": "P28222", "81/11001_trj_81": "P02699"},
        ),
    ],
)
def test_the_layouts_in_prepare_gin_make_replicas_of_a_protein_one_group(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, layout: str, files: list[str], groups: dict[str, str]
) -> None:
    monkeypatch.chdir(tmp_path)
    for file in files:
        Path(file).parent.mkdir(exist_ok=True)
        write_trajectory(Path(file), extended_chain(2, 8, seed=len(file) + int(file[-5])))
    for folder, topology in {"16pk_A": "16pk_A", "1a62_B": "1a62_B", "8": "10165_dyn_8", "81": "11000_dyn_81"}.items():
        if (tmp_path / folder).is_dir():
            (tmp_path / folder / "top.pdb").rename(tmp_path / folder / f"{topology}.pdb")
    Path("dynamics.csv").write_text("Dynamic id,Uniprot ID\n8,P28222\n81,P02699\n")
    text = (resources.files("emprot_gin_configs") / "prepare.gin").read_text()
    lines = re.search(rf"#   {layout} (.*?)\n#   \w", text, re.DOTALL)
    assert lines is not None
    bindings = [*re.findall(r"md\.\w+ = '[^']*'", lines[1]), "Prepare.source = '**/*.xtc'", "Prepare.num_workers = 1"]
    assert main(["--gin_file=prepare.gin", *(f"--gin_bindings={binding}" for binding in bindings)]) == 0
    index = TrajectoryStore("my_stores/protein_blocks").index
    assert dict(zip(index["name"].tolist(), index["group"].tolist(), strict=True)) == groups


def test_a_path_that_is_laid_out_otherwise_is_named() -> None:
    assert match_layout("{chain}_R{replica}.xtc", Path("/a/16pk_A_R3.xtc")) == {"chain": "16pk_A", "replica": "3"}
    assert match_layout("{chain}/{chain}_R*.xtc", Path("/a/b/b_R3.xtc")) == {"chain": "b"}
    with pytest.raises(ValueError, match=r"b/c_R3\.xtc does not end like the layout"):
        match_layout("{chain}/{chain}_R*.xtc", Path("/a/b/c_R3.xtc"))
    with pytest.raises(ValueError, match=r"has the field 'chain', but the layout has \['dyn'\]"):
        read_all(MDTrajectory("{chain}.pdb", layout="{dyn}.xtc"), Path("8.xtc"))


def test_a_table_of_groups_must_have_its_columns_and_one_group_a_key(tmp_path: Path) -> None:
    table = tmp_path / "t.csv"
    table.write_text("id,group\n1,A\n1,B\n")
    with pytest.raises(ValueError, match="gives 1 the groups A and B"):
        read_groups(str(table), "id", "group")
    with pytest.raises(ValueError, match=r"has the columns \['group', 'id'\], expected 'key' and 'group'"):
        read_groups(str(table), "key", "group")
    with pytest.raises(ValueError, match="cannot be read"):
        read_groups(str(tmp_path / "none.csv"), "id", "group")


def test_a_dcd_whose_header_counts_more_frames_than_were_written_is_read_and_noted(tmp_path: Path) -> None:
    frames = extended_chain(3, 6)
    path = write_trajectory(tmp_path / "run.dcd", frames)
    content = bytearray(path.read_bytes())
    content[8:12] = (10).to_bytes(4, "little")  # of a simulation that was stopped early
    path.write_bytes(content)
    structure = read_all(MDTrajectory("top.pdb"), path)
    assert len(structure.coordinates) == 3
    assert structure.notes == ("its header counts 10 frames, but 3 were written",)
    path.write_bytes(content[:-20])
    with pytest.raises(ValueError, match=r"run\.dcd cannot be read .* it breaks off within a frame"):
        read_all(MDTrajectory("top.pdb"), path)


def test_a_table_gives_each_file_its_topology_group_and_time_step(tmp_path: Path) -> None:
    for name, residues in (("a", 6), ("b", 4)):
        (tmp_path / name).mkdir()
        write_trajectory(tmp_path / name / "run.xtc", extended_chain(2, residues))
        (tmp_path / name / "top.pdb").rename(tmp_path / name / f"{name}.pdb")
    table = tmp_path / "proteins.csv"
    table.write_text("files,topology,group,time_step_ns\na/*.xtc,a/a.pdb,P1,0.2\nb/run.xtc,b/b.pdb,P2,\n")
    reader = MDTrajectory(table=str(table))
    found = {name: read_all(reader, tmp_path / name / "run.xtc") for name in "ab"}
    assert [found[name].group for name in "ab"] == ["P1", "P2"]
    assert [found[name].coordinates.shape[1] for name in "ab"] == [6, 4]
    assert found["a"].time_step_ns == 0.2
    assert np.isnan(found["b"].time_step_ns)
    assert tmp_path / "a" / "a.pdb" in reader.other_files(tmp_path / "a" / "run.xtc")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("files,topology\nb/*.xtc,b.pdb\n", r"line 2: 'b/\*\.xtc' matches no file"),
        ("files\nrun.xtc\n", "line 2 has no topology"),
        ("files,topology,time_step_ns\nrun.xtc,top.pdb,soon\n", "line 2: time_step_ns is 'soon'"),
        ("files,topology\nrun.xtc,top.pdb\n*.xtc,other.pdb\n", "is in another row already"),
        ("files,topology\ntop.pdb,top.pdb\n", r"run\.xtc is in no row of"),
    ],
)
def test_a_table_that_does_not_fit_is_refused_with_its_line(tmp_path: Path, text: str, message: str) -> None:
    path = write_trajectory(tmp_path / "run.xtc", extended_chain(2, 6))
    (tmp_path / "t.csv").write_text(text)
    with pytest.raises(ValueError, match=message):
        read_all(MDTrajectory(table=str(tmp_path / "t.csv")), path)

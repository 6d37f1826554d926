"""Tokenizers: known answers, invariances, and -1 wherever an ID would be made up."""

import json
import pickle
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
from emprot_plugins.tokenizers import geometry
from emprot_plugins.tokenizers.dssp import CLASS_LETTERS, Dssp
from emprot_plugins.tokenizers.geometry import dihedral, ideal_beta_carbons, phi_psi, unbroken_stretches
from emprot_plugins.tokenizers.kmeans_environment import KMeansEnvironment
from emprot_plugins.tokenizers.protein_blocks import BLOCK_LETTERS, REFERENCE_ANGLES, ProteinBlocks
from emprot_plugins.tokenizers.rama_bins import RamaBins
from emprot_plugins.tokenizers.threedi import ThreeDi
from sample_structures import frames_of_the_receptor, sample

from emprot_core.contracts import Structure, Tokenizer

GOLDEN = Path(__file__).parent / "golden" / "psi_md_traj_1.PB.fasta"


@pytest.fixture(scope="module")
def receptor() -> Structure:
    return frames_of_the_receptor()


@pytest.fixture(params=["protein_blocks", "threedi", "kmeans_environment", "rama_bins", "dssp"])
def tokenizer(request: pytest.FixtureRequest) -> Tokenizer:
    """Each tokenizer in turn."""
    if request.param == "threedi":
        pytest.importorskip("mini3di")
        return ThreeDi()
    if request.param == "dssp":
        pytest.importorskip("mdtraj")
        return Dssp()
    if request.param == "rama_bins":
        return RamaBins(6)
    if request.param == "protein_blocks":
        return ProteinBlocks()
    return KMeansEnvironment(centroids="sample:kmeans_environment")


def chain_with_torsions(phi: Sequence[float], psi: Sequence[float]) -> np.ndarray:
    """A chain (residues, 4, 3) of ideal bonds with these torsions in degrees, atom after atom (O is left at zero).

    phi[k] and psi[k] are of residue k; the first phi and the last psi have no effect.
    """
    lengths, angles = (1.458, 1.525, 1.329), (116.6, 121.7, 111.0)  # N-CA, CA-C, C-N; C-CA-N ends at N, CA, C
    atoms = [np.array([0.0, 1.458, 0.0]), np.zeros(3), np.array([1.4237, -0.5465, 0.0])]
    for residue in range(1, len(phi)):
        for atom, torsion in enumerate((psi[residue - 1], 180.0, phi[residue])):
            bend, turn = np.radians(180 - angles[atom]), np.radians(torsion)
            back = atoms[-1] - atoms[-2]
            x = back / np.linalg.norm(back)
            z = np.cross(atoms[-2] - atoms[-3], x)
            z /= np.linalg.norm(z)
            step = np.array([np.cos(bend), np.sin(bend) * np.cos(turn), np.sin(bend) * np.sin(turn)])
            length = (lengths[2], lengths[0], lengths[1])[atom]
            atoms.append(atoms[-1] + length * (step[0] * x + step[1] * np.cross(z, x) + step[2] * z))
    chain = np.zeros((len(phi), 4, 3))
    chain[:, :3] = np.array(atoms).reshape(-1, 3, 3)
    return chain


@pytest.mark.parametrize(("last", "degrees"), [((1, 0, 1), 0), ((0, 1, 1), 90), ((-1, 0, 1), 180), ((0, -1, 1), -90)])
def test_a_dihedral_has_the_sign_of_the_iupac_convention(last: tuple[float, float, float], degrees: float) -> None:
    """Seen along the middle bond, here +z with +x to the right and +y downwards, a clockwise turn is positive."""
    points = np.array([(1.0, 0, 0), (0, 0, 0), (0, 0, 1), last])
    assert np.degrees(dihedral(*points)) == pytest.approx(degrees)


def test_torsions_of_a_built_chain_are_the_ones_it_was_built_with() -> None:
    random = np.random.default_rng(0)
    phi, psi = random.uniform(-179, 179, size=(2, 9))
    got_phi, got_psi = phi_psi(chain_with_torsions(phi, psi)[None])
    np.testing.assert_allclose(got_phi[0], phi[1:], atol=1e-6)
    np.testing.assert_allclose(got_psi[0], psi[:-1], atol=1e-6)


def test_unbroken_stretches_cover_all_residues() -> None:
    assert unbroken_stretches(np.array([0, 0, 1, 2, 2])) == [slice(0, 2), slice(2, 3), slice(3, 5)]
    assert unbroken_stretches(np.array([7])) == [slice(0, 1)]


def test_ideal_beta_carbons_have_the_bond_length_and_the_hand_of_l_amino_acids(receptor: Structure) -> None:
    backbone = receptor.coordinates[0].astype(np.float64)
    n, alpha, c = backbone[:, 0], backbone[:, 1], backbone[:, 2]
    bond = ideal_beta_carbons(backbone) - alpha
    assert np.linalg.norm(bond, axis=-1).mean() == pytest.approx(1.52, abs=0.04)
    assert (np.cross(n - alpha, c - alpha) * bond).sum(axis=-1).min() > 0


def test_protein_blocks_equal_the_golden_file_of_pbxplore() -> None:
    lines = GOLDEN.read_text().splitlines()
    golden = [line for line in lines if not line.startswith(">")]
    ids = ProteinBlocks().encode(sample("pbxplore_psi"))
    assert len(golden) == len(ids) == 225
    assert ["".join("Z" if i < 0 else BLOCK_LETTERS[i] for i in frame) for frame in ids] == golden


@pytest.mark.parametrize("block", range(16))
def test_a_chain_with_the_reference_angles_of_a_block_is_that_block(block: int) -> None:
    angles = REFERENCE_ANGLES[block]
    chain = chain_with_torsions(phi=[0, *angles[1::2]], psi=[*angles[0::2], 0])
    ids = ProteinBlocks().encode(Structure(chain[None], np.zeros(5, int)))
    assert ids.tolist() == [[-1, -1, block, -1, -1]]


def test_ids_do_not_depend_on_where_the_protein_is_and_how_it_is_turned(
    receptor: Structure, tokenizer: Tokenizer
) -> None:
    turn, _ = np.linalg.qr(np.random.default_rng(0).normal(size=(3, 3)))
    turn *= np.sign(np.linalg.det(turn))
    coordinates = receptor.coordinates.astype(np.float64)
    moved = receptor._replace(coordinates=coordinates @ turn.T + [5.0, -80.0, 30.0])
    np.testing.assert_array_equal(tokenizer.encode(moved), tokenizer.encode(receptor))


def test_a_mirrored_protein_has_other_ids(receptor: Structure, tokenizer: Tokenizer) -> None:
    if tokenizer.name == "dssp":
        pytest.skip("hydrogen bonds are the same in a mirror")
    mirrored = receptor._replace(coordinates=receptor.coordinates * np.float32([-1, 1, 1]))
    assert (tokenizer.encode(mirrored) != tokenizer.encode(receptor)).mean() > 0.3


def test_chain_ends_and_breaks_have_no_id(receptor: Structure, tokenizer: Tokenizer) -> None:
    missing = {"protein_blocks": 2, "threedi": 1, "kmeans_environment": 2, "rama_bins": 1, "dssp": 1}[tokenizer.name]
    expected = np.zeros(302, dtype=bool)
    for start, stop in ((0, 212), (212, 302)):
        expected[start : start + missing] = expected[stop - missing : stop] = True
    ids = tokenizer.encode(receptor)
    np.testing.assert_array_equal(ids < 0, np.broadcast_to(expected, ids.shape))
    assert ids.min() == -1
    assert ids.max() < tokenizer.num_clusters


def test_stretches_too_short_for_a_shape_have_no_id(receptor: Structure, tokenizer: Tokenizer) -> None:
    segments = np.repeat(np.arange(151), 2)
    assert (tokenizer.encode(receptor._replace(segments=segments)) == -1).all()


def test_a_break_elsewhere_does_not_change_protein_blocks(receptor: Structure) -> None:
    whole = ProteinBlocks().encode(receptor)
    first = receptor._replace(coordinates=receptor.coordinates[:, :212], segments=receptor.segments[:212])
    np.testing.assert_array_equal(ProteinBlocks().encode(first), whole[:, :212])


def test_unknown_coordinates_give_no_id_and_spare_other_frames(receptor: Structure, tokenizer: Tokenizer) -> None:
    coordinates = receptor.coordinates.copy()
    coordinates[1, 100] = np.nan
    whole, ids = tokenizer.encode(receptor), tokenizer.encode(receptor._replace(coordinates=coordinates))
    window = 1 if tokenizer.name in ("threedi", "rama_bins") else 2
    assert (ids[1, 100 - window : 101 + window] == -1).all()
    np.testing.assert_array_equal(ids[[0, 2]], whole[[0, 2]])
    assert ids.max() < tokenizer.num_clusters
    assert (ids[1] == whole[1]).mean() > 0.8


@pytest.mark.parametrize("make", [ProteinBlocks, lambda: KMeansEnvironment(centroids="sample:kmeans_environment")])
def test_ids_do_not_depend_on_how_frames_are_cut_into_chunks(
    receptor: Structure, make: Callable[[], Tokenizer], monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = make().encode(receptor)
    monkeypatch.setattr(geometry, "CHUNK_VALUES", 4 * 302**2 * 2)
    np.testing.assert_array_equal(make().encode(receptor), whole)
    monkeypatch.setattr(geometry, "CHUNK_VALUES", 1)
    np.testing.assert_array_equal(make().encode(receptor)[:1, :50], whole[:1, :50])


def test_threedi_equals_what_mini3di_gives_for_a_frame(receptor: Structure) -> None:
    mini3di = pytest.importorskip("mini3di")
    backbone = receptor.coordinates[0].astype(np.float64)
    states = mini3di.Encoder().encode_atoms(
        n=backbone[:, 0], ca=backbone[:, 1], c=backbone[:, 2], cb=ideal_beta_carbons(backbone)
    )
    one = receptor._replace(segments=np.zeros(302, int))
    np.testing.assert_array_equal(ThreeDi().encode(one)[0], states.filled(255).astype(np.uint8).view(np.int8))


def test_threedi_without_mini3di_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "mini3di", None)
    with pytest.raises(ModuleNotFoundError, match=r"emprot\[threedi\]"):
        ThreeDi()


def test_rama_bins_are_the_cells_of_a_grid_on_phi_and_psi() -> None:
    phi, psi = [0.0, -180.0, 179.9, -60.0, 0.0], [0.0, -179.9, 179.9, -45.0, 0.0]
    chain = chain_with_torsions(phi, psi)
    ids = RamaBins(6).encode(Structure(chain[None], np.zeros(5, int)))
    classes = RamaBins(6).description()["classes"]
    assert len(classes) == RamaBins(6).num_clusters == 36
    assert ids[0, [0, 4]].tolist() == [-1, -1]
    assert [classes[i] for i in ids[0, 2:4]] == ["phi 120:180 psi 120:180", "phi -60:0 psi -60:0"]
    assert classes[ids[0, 1]].endswith("psi -180:-120")
    with pytest.raises(ValueError, match="expected at least 1 bin"):
        RamaBins(0)


@pytest.mark.parametrize(("k", "accuracy"), [(6, 0.554), (12, 0.404)])
def test_rama_bins_persist_as_known(k: int, accuracy: float) -> None:
    structure = sample("prolif_5ht1b")
    ids = RamaBins(k).encode(structure._replace(coordinates=structure.coordinates[199:]))[:, 1:-1]
    assert (ids[1:] == ids[:-1]).mean() == pytest.approx(accuracy, abs=0.01)


def test_dssp_equals_what_mdtraj_gives_for_a_chain_and_finds_the_helices_of_a_receptor(receptor: Structure) -> None:
    mdtraj = pytest.importorskip("mdtraj")
    part = receptor._replace(coordinates=receptor.coordinates[:, :212], segments=receptor.segments[:212])
    assert part.residues is not None
    topology = mdtraj.Topology()
    chain = topology.add_chain()
    for name in part.residues["name"][:212].tolist():
        residue = topology.add_residue(name, chain)
        for atom in ("N", "CA", "C", "O"):
            topology.add_atom(atom, mdtraj.element.get_by_symbol(atom[0]), residue)
    positions = part.coordinates.reshape(3, -1, 3) / np.float32(10)
    letters = mdtraj.compute_dssp(mdtraj.Trajectory(positions, topology), simplified=False)
    ids = Dssp().encode(part)
    assert ["".join(CLASS_LETTERS[i] for i in frame[1:-1]) for frame in ids] == ["".join(f[1:-1]) for f in letters]
    assert (ids == CLASS_LETTERS.index("H")).mean() > 0.6


def test_dssp_persists_as_known() -> None:
    pytest.importorskip("mdtraj")
    structure = sample("prolif_5ht1b")
    ids = Dssp().encode(structure._replace(coordinates=structure.coordinates[199:]))
    ids = ids[:, (ids >= 0).all(axis=0)]
    assert (ids[1:] == ids[:-1]).mean() == pytest.approx(0.908, abs=0.005)


def test_dssp_without_mdtraj_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "mdtraj", None)
    with pytest.raises(ModuleNotFoundError, match=r"emprot\[dssp\]"):
        Dssp()


def test_every_tokenizer_states_its_classes_and_pickles(receptor: Structure, tokenizer: Tokenizer) -> None:
    description = tokenizer.description()
    assert description["name"] == tokenizer.name
    assert "classes" in description or tokenizer.arrays()
    assert len(description.get("classes", range(tokenizer.num_clusters))) == tokenizer.num_clusters
    json.dumps(description)
    again = pickle.loads(pickle.dumps(tokenizer))
    np.testing.assert_array_equal(again.encode(receptor), tokenizer.encode(receptor))

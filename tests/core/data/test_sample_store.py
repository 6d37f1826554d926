"""The embedded sample: its stores come out of its coordinates again, and have the known figures."""

from pathlib import Path

import emprot_plugins.prepare.prepare  # noqa: F401  registers the job
import numpy as np
import pytest
from emprot_plugins.readers.backbone_npz import BackboneNpz

from emprot_core import registry
from emprot_core.cli import main
from emprot_core.data.store import TrajectoryStore

VOCABULARIES = ("protein_blocks", "threedi", "kmeans_environment")


@pytest.fixture(scope="module")
def remade(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the stores that prepare_sample.gin makes; without mini3di, those that need no extra."""
    output = tmp_path_factory.mktemp("sample") / "stores"
    registry.load_plugins()
    bindings = [f"Prepare.output = {str(output)!r}"]
    try:
        import mini3di  # noqa: F401
    except ModuleNotFoundError:
        bindings.append("Prepare.tokenizers = [@tokenizers.protein_blocks(), @tokenizers.kmeans_environment()]")
    assert main(["--gin_file=prepare_sample.gin", *(f"--gin_bindings={binding}" for binding in bindings)]) == 0
    return output


@pytest.mark.parametrize("vocabulary", VOCABULARIES)
def test_the_shipped_ids_are_what_prepare_makes_of_the_shipped_coordinates(remade: Path, vocabulary: str) -> None:
    if vocabulary == "threedi":
        pytest.importorskip("mini3di")
    made, shipped = TrajectoryStore(remade / vocabulary), TrajectoryStore(f"sample:{vocabulary}", verify=True)
    assert made.index.tobytes() == shipped.index.tobytes()
    for trajectory in range(len(shipped)):
        np.testing.assert_array_equal(made.ids(trajectory), shipped.ids(trajectory))
    assert made.sources == shipped.sources
    assert made.vocabulary.num_clusters == shipped.vocabulary.num_clusters


def test_a_store_made_with_shipped_centroids_is_the_shipped_one_to_the_last_byte(remade: Path) -> None:
    assert TrajectoryStore(remade / "kmeans_environment").digest == TrajectoryStore("sample:kmeans_environment").digest


@pytest.mark.parametrize("vocabulary", VOCABULARIES)
def test_the_sample_has_the_sizes_and_groups_of_its_sources(vocabulary: str) -> None:
    store = TrajectoryStore(f"sample:{vocabulary}")
    rows = {
        str(row["name"]): (str(row["group"]), int(row["num_frames"]), int(row["num_residues"])) for row in store.index
    }
    assert rows == {
        "nglview_rhodopsin": ("P02699", 51, 345),
        "pbxplore_psi": ("P05106", 225, 56),
        "prolif_5ht1b": ("P28222", 250, 302),
    }
    np.testing.assert_array_equal(store.index["time_step_ns"], [0.02, 0.2, np.nan])
    assert {(source["package"], source["licence"]) for source in store.sources} == {
        ("nglview", "MIT"),
        ("pbxplore", "MIT"),
        ("prolif", "Apache-2.0"),
    }


@pytest.mark.parametrize(("vocabulary", "accuracy"), [("protein_blocks", 0.945), ("threedi", 0.726)])
def test_the_sample_has_the_known_persistence_accuracy(vocabulary: str, accuracy: float) -> None:
    ids = TrajectoryStore(f"sample:{vocabulary}").ids(2)
    ids = ids[:, (ids >= 0).all(axis=0)]
    assert (ids[200:] == ids[199:-1]).mean() == pytest.approx(accuracy, abs=0.005)  # targets in the last 20 %


def test_the_sample_is_under_two_megabytes() -> None:
    root = TrajectoryStore("sample:threedi").directory.parent
    assert sum(path.stat().st_size for path in root.rglob("*") if path.is_file()) < 2e6


def test_the_sample_coordinates_have_plausible_bonds() -> None:
    for path in (TrajectoryStore("sample:threedi").directory.parent / "coordinates").glob("*.npz"):
        structure = BackboneNpz().read(path)
        n, alpha, c, o = np.moveaxis(structure.coordinates, 2, 0)
        bonded = np.diff(structure.segments) == 0
        peptide = np.linalg.norm(n[:, 1:] - c[:, :-1], axis=-1)[:, bonded]
        for length, bond in ((1.46, alpha - n), (1.50, c - alpha), (1.23, o - c)):
            assert np.linalg.norm(bond, axis=-1).mean() == pytest.approx(length, abs=0.04)
        assert peptide.mean() == pytest.approx(1.34, abs=0.02)
        assert peptide.max() < 2.0

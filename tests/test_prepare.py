"""Prepare: the shipped stores come out again bit for bit, and a run that fails leaves nothing."""

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from emprot_plugins.readers.backbone_npz import BackboneNpz

import emprot_core.jobs.prepare  # noqa: F401  registers the job
from emprot_core import registry
from emprot_core.cli import main
from emprot_core.contracts import Structure, Tokenizer
from emprot_core.data.store import StoreError, TrajectoryStore
from emprot_core.jobs.prepare import Prepare

VOCABULARIES = ("protein_blocks", "threedi", "kmeans_environment")


class LengthReader:
    """A backbone whose size is the file's text, as `frames residues`; x of each atom is the frame."""

    def read(self, path: Path) -> Structure:
        text = path.read_text()
        if not text:
            raise ValueError(f"{path} is empty")
        frames, residues = (int(word) for word in text.split())
        coordinates = np.zeros((frames, residues, 4, 3), np.float32)
        coordinates[..., 0] = np.arange(frames)[:, None, None]
        return Structure(coordinates, np.zeros(residues, int))


class FrameParity:
    """IDs 0, 1, 0, 1, ...: the frame modulo 2; the first residue has none. Remembers what it was fitted on."""

    name = "parity"
    num_clusters = 2

    def __init__(self) -> None:
        self.fitted_on: list[tuple[int, ...]] = []

    def fit(self, structures: Sequence[Structure]) -> None:
        self.fitted_on = [structure.coordinates.shape[:2] for structure in structures]

    def encode(self, structure: Structure) -> np.ndarray:
        if structure.coordinates.shape[1] > 9:
            raise ValueError("more than 9 residues")
        ids = structure.coordinates[:, :, 1, 0].astype(int) % 2
        ids[:, 0] = -1
        return ids

    def description(self) -> Mapping[str, Any]:
        return {"name": self.name}

    def arrays(self) -> Mapping[str, np.ndarray]:
        return {"parities": np.arange(2)}


@pytest.fixture
def files(tmp_path: Path) -> Path:
    """A folder of trajectory files of two proteins: apo/r1, apo/r2, holo/r1."""
    for name, size in {"apo/r1": "10 3", "apo/r2": "4 3", "holo/r1": "5 2"}.items():
        path = tmp_path / "md" / f"{name}.txt"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(size)
    return tmp_path / "md"


def prepare(files: Path, *tokenizers: Tokenizer, **options: Any) -> Prepare:
    source = options.pop("source", str(files / "**" / "*.txt"))
    return Prepare(source, LengthReader(), tokenizers or [FrameParity()], str(files.parent / "out"), **options)


def run(job: Prepare) -> None:
    job.run(None)  # type: ignore[arg-type]  # it needs nothing of the run


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


def test_trajectories_are_named_by_their_path_and_stores_report_their_figures(
    files: Path, caplog: pytest.LogCaptureFixture
) -> None:
    logger = logging.getLogger("emprot")
    logger.addHandler(caplog.handler)
    with caplog.at_level(logging.INFO, logger="emprot"):
        run(prepare(files))
    logger.removeHandler(caplog.handler)
    store = TrajectoryStore(files.parent / "out" / "parity")
    assert store.index["name"].tolist() == store.index["group"].tolist() == ["apo/r1", "apo/r2", "holo/r1"]
    assert store.ids(2).tolist() == [[-1, 0], [-1, 1], [-1, 0], [-1, 1], [-1, 0]]
    assert store.array("parities").tolist() == [0, 1]
    # Known IDs: 10 x 2, 4 x 2 and 5 x 1 of them, 17 zeros and 16 ones; none ever persists.
    assert "trajectories 3, frames 19, residues 2-3, IDs used 2 of 2, unigram entropy 1.00 bits" in caplog.text
    assert "persistence accuracy 0.000" in caplog.text


def test_tokenizers_learn_from_the_first_frames_of_the_chosen_trajectories_alone(files: Path) -> None:
    tokenizer = FrameParity()
    run(prepare(files, tokenizer, fit_on=["apo/*"], fit_fraction=0.7))
    assert tokenizer.fitted_on == [(7, 3), (3, 3)]


def test_nothing_is_learnt_unless_asked_for(files: Path) -> None:
    tokenizer = FrameParity()
    run(prepare(files, tokenizer))
    assert tokenizer.fitted_on == []


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"source": "nowhere/*.xtc"}, r"Prepare\.source = 'nowhere/\*\.xtc' matches no file"),
        ({"source": "sample:other"}, r"Prepare\.source = 'sample:other' matches no file"),
        ({"fit_on": ["apu/*"]}, r"Prepare\.fit_on = \['apu/\*'\] matches none of apo/r1, apo/r2, holo/r1"),
    ],
)
def test_a_name_that_matches_nothing_is_refused(files: Path, options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        run(prepare(files, **options))
    assert not (files.parent / "out").exists()


@pytest.mark.parametrize(("content", "message"), [("", "r1.txt is empty"), ("3 12", "r1.txt: more than 9 residues")])
def test_a_trajectory_that_fails_is_named_and_leaves_nothing(files: Path, content: str, message: str) -> None:
    (files / "holo" / "r1.txt").write_text(content)
    with pytest.raises(ValueError, match=message):
        run(prepare(files))
    assert [path.name for path in files.parent.iterdir()] == ["md"]


def test_a_reader_that_gives_another_shape_is_refused(files: Path) -> None:
    (files / "apo" / "r1.txt").write_text("0 3")
    with pytest.raises(ValueError, match=r"r1\.txt: the reader gave coordinates of shape \(0, 3, 4, 3\)"):
        run(prepare(files))


def test_a_store_that_exists_is_refused_before_anything_is_read(files: Path) -> None:
    run(prepare(files))
    before = TrajectoryStore(files.parent / "out" / "parity").digest
    (files / "apo" / "r1.txt").write_text("")
    with pytest.raises(StoreError, match=r"parity exists; remove it or bind another Prepare\.output"):
        run(prepare(files))
    assert TrajectoryStore(files.parent / "out" / "parity", verify=True).digest == before


def test_two_files_of_one_name_are_refused(files: Path) -> None:
    (files / "apo" / "r1.dat").write_text("1 1")
    with pytest.raises(ValueError, match=r"r1\.dat and .*r1\.txt differ in their suffix alone"):
        run(prepare(files, source=str(files / "apo" / "*")))


@pytest.mark.parametrize("fraction", [0.0, -1.0, 1.5])
def test_a_fraction_outside_its_range_is_refused(files: Path, fraction: float) -> None:
    with pytest.raises(ValueError, match=r"expected a number in \(0, 1\]"):
        prepare(files, fit_fraction=fraction)


def test_two_tokenizers_of_one_name_are_refused(files: Path) -> None:
    with pytest.raises(ValueError, match=r"\['parity', 'parity'\], expected one or more of different names"):
        prepare(files, FrameParity(), FrameParity())

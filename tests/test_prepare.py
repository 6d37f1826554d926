"""Prepare: the shipped stores come out again bit for bit, and a run that fails leaves nothing."""

import hashlib
import json
import logging
import os
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Mapping
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
from emprot_core.data.windows import SPAN_DTYPE
from emprot_core.jobs.context import RunRefused
from emprot_core.jobs.prepare import Prepare
from emprot_core.jobs.trajectory_files import find_trajectories

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

    def fit(self, structures: Iterable[Structure]) -> None:
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


class Framewise(FrameParity):
    """Remembers which frames it was fitted on."""

    def fit(self, structures: Iterable[Structure]) -> None:
        self.seen = [(s.group, s.coordinates[:, 0, 0, 0].astype(int).tolist()) for s in structures]


def test_with_a_split_tokenizers_learn_from_its_training_frames_alone(files: Path) -> None:
    by_time, by_group = Framewise(), Framewise()
    split = registry.get("split", "ByTime")(train=0.5, validation=0.2, test=0.3)
    run(prepare(files, by_time, fit_on=["apo/*"], fit_fraction=1.0, split=split))
    assert by_time.seen == [("apo/r1", [0, 1, 2, 3, 4]), ("apo/r2", [0, 1])]
    shutil.rmtree(files.parent / "out")
    split = registry.get("split", "ByGroup")(test=["apo/r1"], validation=["apo/r2"])
    run(prepare(files, by_group, fit_on=["*"], fit_fraction=0.6, split=split))
    assert by_group.seen == [("holo/r1", [0, 1, 2])]


def test_a_split_that_holds_out_all_that_is_to_be_learnt_from_is_refused(files: Path) -> None:
    split = registry.get("split", "ByGroup")(test=["apo/r1"], validation=0.0)
    with pytest.raises(ValueError, match=r"fit_on = \['apo/r1'\] leaves no frame to learn from"):
        run(prepare(files, fit_on=["apo/r1"], split=split))


class LastButOne:
    """Trains on the last trajectory but one: which that is changes when one is skipped."""

    def spans(self, index: np.ndarray) -> dict[str, np.ndarray]:
        row = len(index) - 2
        return {"train": np.array([(row, 0, 2)], SPAN_DTYPE)}


def test_a_split_that_changed_after_learning_is_refused(files: Path) -> None:
    (files / "zeta.txt").write_text("5 10")  # can be read, but not encoded
    (files / "eta.txt").write_text("5 3")
    job = prepare(files, fit_on=["*"], split=LastButOne(), on_error="skip")
    with pytest.raises(ValueError, match=r"learnt from frames of holo/r1 that the split holds out now"):
        run(job)


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
def test_a_trajectory_that_fails_is_named_and_leaves_no_store_and_nothing_half_written(
    files: Path, content: str, message: str
) -> None:
    (files / "holo" / "r1.txt").write_text(content)
    with pytest.raises(ValueError, match=rf"{message}.*; Prepare\.on_error = 'skip' leaves such trajectories out"):
        run(prepare(files))
    assert [path.name for path in (files.parent / "out").iterdir()] == [".parts"]
    left = sorted(path.name.partition(".")[2] for path in (files.parent / "out" / ".parts").iterdir())
    assert left == ["json", "json", "parity.ids", "parity.ids"]  # of the two that are finished


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


def test_a_trajectory_that_fails_can_be_skipped_and_is_reported(files: Path) -> None:
    (files / "holo" / "r1.txt").write_text("")
    run(prepare(files, on_error="skip"))
    assert TrajectoryStore(files.parent / "out" / "parity").index["name"].tolist() == ["apo/r1", "apo/r2"]
    assert list(report(files)["skipped"]) == ["holo/r1"]
    assert "r1.txt is empty" in report(files)["skipped"]["holo/r1"]


def test_a_trajectory_that_cannot_be_learnt_from_is_skipped_too(files: Path) -> None:
    (files / "holo" / "r1.txt").write_text("")
    tokenizer = FrameParity()
    run(prepare(files, tokenizer, on_error="skip", fit_on=["*"], fit_fraction=1.0))
    assert tokenizer.fitted_on == [(10, 3), (4, 3)]
    assert TrajectoryStore(files.parent / "out" / "parity").index["name"].tolist() == ["apo/r1", "apo/r2"]


def test_nothing_but_bad_trajectories_is_refused(files: Path) -> None:
    for path in files.rglob("*.txt"):
        path.write_text("")
    with pytest.raises(ValueError, match=r"none of 3 trajectories could be used: .*is empty"):
        run(prepare(files, on_error="skip"))


class Shown(FrameParity):
    """Remembers what it encoded."""

    def __init__(self, encoded: list[int]) -> None:
        super().__init__()
        self.encoded = encoded

    def encode(self, structure: Structure) -> np.ndarray:
        self.encoded.append(len(structure.coordinates))
        return super().encode(structure)


def test_a_finished_trajectory_is_not_encoded_again_unless_its_file_changed(files: Path) -> None:
    encoded: list[int] = []
    (files / "holo" / "r1.txt").write_text("")
    with pytest.raises(ValueError, match="is empty"):
        run(prepare(files, Shown(encoded)))
    assert encoded == [10, 4]
    (files / "holo" / "r1.txt").write_text("5 2")
    (files / "apo" / "r2.txt").write_text("14 3")
    half_written = files.parent / "out" / ".parts" / "0123.parity.ids"
    half_written.write_bytes(b"killed")
    run(prepare(files, Shown(encoded)))
    assert encoded == [10, 4, 14, 5]
    assert TrajectoryStore(files.parent / "out" / "parity").index["num_frames"].tolist() == [10, 14, 5]
    assert not half_written.parent.exists()


def test_the_throughput_is_that_of_what_was_encoded_now(files: Path) -> None:
    (files / "holo" / "r1.txt").write_text("")
    with pytest.raises(ValueError, match="is empty"):
        run(prepare(files))
    run(prepare(files, on_error="skip"))
    assert (report(files)["num_frames"], report(files)["frames_per_s"], report(files)["tokens_per_s"]) == (
        14,
        None,
        None,
    )
    assert report(files)["tokens_per_s_core"] > 0


WORKER_MODULE = """
import os, signal, time
from pathlib import Path
import numpy as np
from emprot_core.contracts import Structure

class Fragile:
    def read(self, path):
        text = Path(path).read_text()
        with Path(path).with_name("read.log").open("a") as log:
            log.write(Path(path).stem)
        if text == "kill":
            time.sleep(3)
            os.kill(os.getpid(), signal.SIGKILL)
        ids = np.full((3, 4), int(text))
        return Structure(np.zeros((3, 4, 0, 3), np.float32), np.zeros(4, int), cluster_ids=ids)
"""


@pytest.mark.slow
def test_workers_give_the_same_store_and_one_that_is_killed_costs_only_its_own_trajectory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "fragile_reader.py").write_text(WORKER_MODULE)
    monkeypatch.syspath_prepend(tmp_path)
    import fragile_reader  # type: ignore[import-not-found]

    for name, text in (("a", "0"), ("b", "1"), ("c", "kill"), ("d", "2")):
        (tmp_path / f"{name}.txt").write_text(text)

    def job(output: str, num_workers: int) -> Prepare:
        tokenizer = registry.get("tokenizer", "precomputed")(num_clusters=3)
        source, target = str(tmp_path / "*.txt"), str(tmp_path / output)
        return Prepare(source, fragile_reader.Fragile(), [tokenizer], target, num_workers=num_workers)

    with pytest.raises(ValueError, match=r"a worker process ended .* what is finished is kept"):
        run(job("parallel", 2))
    kept = list((tmp_path / "parallel" / ".parts").glob("*.json"))
    (tmp_path / "c.txt").write_text("1")
    (tmp_path / "read.log").write_text("")
    run(job("parallel", 2))
    assert kept
    assert len((tmp_path / "read.log").read_text()) == 4 - len(kept)
    run(job("serial", 1))
    stores = [TrajectoryStore(tmp_path / name / "precomputed") for name in ("parallel", "serial")]
    assert stores[0].digest == stores[1].digest


ORPHAN_MODULE = """
import os, sys, time
from pathlib import Path
from emprot_core.jobs.workers import run_in_workers

def work(folder, name):
    (folder / f"{name}.pid").write_text(str(os.getpid()))
    time.sleep(60)

if __name__ == "__main__":
    list(run_in_workers(work, Path(sys.argv[1]), [("a",), ("b",)], 2))
"""


@pytest.mark.slow
def test_workers_end_when_their_parent_is_killed(tmp_path: Path) -> None:
    (tmp_path / "orphans.py").write_text(ORPHAN_MODULE)
    parent = subprocess.Popen([sys.executable, str(tmp_path / "orphans.py"), str(tmp_path)])

    def workers() -> list[int]:
        return [int(path.read_text()) for path in tmp_path.glob("*.pid") if path.read_text()]

    try:
        assert eventually(lambda: len(workers()) == 2)
    finally:
        parent.kill()
        parent.wait()
    assert eventually(lambda: not any(is_alive(pid) for pid in workers()))


def eventually(condition: Callable[[], bool], timeout_s: float = 40.0) -> bool:
    end = time.monotonic() + timeout_s
    while not condition() and time.monotonic() < end:
        time.sleep(0.1)
    return condition()


def is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    stat = Path(f"/proc/{pid}/stat")  # one that ended and was not waited for counts as ended
    return not stat.is_file() or stat.read_text().rpartition(")")[2].split()[0] != "Z"


def report(files: Path) -> dict[str, Any]:
    return json.loads((files.parent / "out" / "parity.report.json").read_text())


def test_the_report_holds_the_figures_of_the_store(files: Path) -> None:
    run(prepare(files))
    got = report(files)
    assert (got["num_trajectories"], got["num_frames"], got["num_tokens"]) == (3, 19, 10 * 3 + 4 * 3 + 5 * 2)
    assert (got["ids_used"], got["num_clusters"], got["residues"]) == (2, 2, [2, 3])
    assert (got["persistence_accuracy"], got["change_rate"]) == (0.0, 1.0)
    assert got["entropy_bits"] == pytest.approx(1.0, abs=0.01)
    assert got["frames_per_s"] > 0
    ids = TrajectoryStore(files.parent / "out" / "parity").ids(1)
    assert got["sha256"]["apo/r2"] == hashlib.sha256(np.ascontiguousarray(ids)).hexdigest()
    assert any("mostly noise" in warning for warning in got["warnings"])


def test_duplicates_are_named(files: Path) -> None:
    (files / "apo" / "r2.txt").write_text("10 3")
    run(prepare(files))
    assert "apo/r1, apo/r2 have the same IDs: duplicates?" in report(files)["warnings"]


def test_a_residue_that_never_has_an_id_is_named_where_the_ids_are_the_users(tmp_path: Path) -> None:
    ids = np.zeros((5, 6), np.int16)
    ids[:, 2] = ids[:3, 4] = -1
    np.save(tmp_path / "a.npy", ids)
    found = prepared_ids(tmp_path)["warnings"]
    assert "a: 1 of 6 residues have no ID in any frame: 2" in found


def prepared_ids(folder: Path, **options: Any) -> dict[str, Any]:
    """The report on the store of the NPY files in a folder."""
    reader, tokenizer = registry.get("reader", "ids_npy"), registry.get("tokenizer", "precomputed")
    run(Prepare(str(folder / "*.npy"), reader(), [tokenizer(num_clusters=50)], str(folder / "out"), **options))
    return json.loads((folder / "out" / "precomputed.report.json").read_text())


def test_an_id_beyond_the_vocabulary_is_named_with_file_frame_and_residue(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.array([[0, 1], [2, 50]]))
    with pytest.raises(ValueError, match=r"a\.npy, frame 1, residue 1 has the ID 50, expected -1 \(missing\) to 49"):
        prepared_ids(tmp_path)


def walk(num_frames: int, persistence: float) -> np.ndarray:
    """(frames, 40) IDs that stay with this probability."""
    random = np.random.default_rng(0)
    ids = random.integers(0, 50, (num_frames, 40))
    for frame in range(1, num_frames):
        stay = random.random(40) < persistence
        ids[frame, stay] = ids[frame - 1, stay]
    return ids


@pytest.mark.parametrize(
    ("order", "message"),
    [
        (np.arange(250), ""),
        (np.array(sorted(map(str, range(250)))).astype(int), "wrong time order"),
        (np.array(sorted(map(str, range(1, 251)))).astype(int) - 1, "wrong time order"),
        (np.random.default_rng(0).permutation(250), "no order in time"),
    ],
)
def test_frames_in_another_order_than_that_of_time_are_noticed(tmp_path: Path, order: np.ndarray, message: str) -> None:
    np.save(tmp_path / "a.npy", walk(250, 0.7)[order])
    found = [warning for warning in prepared_ids(tmp_path)["warnings"] if "order" in warning]
    assert len(found) == bool(message)
    assert all(message in warning for warning in found)


def test_coordinates_are_needed_by_tokenizers_that_read_them(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.zeros((5, 6), int))
    reader, tokenizer = registry.get("reader", "ids_npy"), registry.get("tokenizer", "protein_blocks")
    job = Prepare(str(tmp_path / "*.npy"), reader(), [tokenizer()], str(tmp_path / "out"))
    with pytest.raises(ValueError, match=r"a\.npy holds cluster IDs and no coordinates, which protein_blocks needs"):
        run(job)


class NamedReader(LengthReader):
    """As LengthReader, with one sequence for all; the group is the folder."""

    def read(self, path: Path) -> Structure:
        structure = super().read(path)
        count = structure.coordinates.shape[1]
        residues = np.array([(number, "ALA") for number in range(count)], [("number", np.int32), ("name", "U4")])
        return structure._replace(residues=residues, group=path.parent.name)


def test_the_same_protein_under_two_names_is_noticed_and_can_be_joined(files: Path) -> None:
    (files / "holo" / "r1.txt").write_text("5 3")
    for group_by, output in (("group", "out"), ("sequence", "joined")):
        source, target = str(files / "**" / "*.txt"), str(files.parent / output)
        run(Prepare(source, NamedReader(), [FrameParity()], target, group_by=group_by))  # type: ignore[arg-type]
    warning = "the groups apo, holo have one sequence of residues: a split by group may put the same protein on both"
    assert any(text.startswith(warning) for text in report(files)["warnings"])
    joined = TrajectoryStore(files.parent / "joined" / "parity")
    assert joined.index["group"].tolist() == ["apo", "apo", "apo"]


class BareReader(LengthReader):
    """A reader without its library."""

    def read(self, path: Path) -> Structure:
        raise ModuleNotFoundError("readers.bare needs bare; pip install 'emprot[bare]'")


def test_a_reader_whose_library_is_missing_refuses_the_run(files: Path) -> None:
    job = Prepare(str(files / "**" / "*.txt"), BareReader(), [FrameParity()], str(files.parent / "out"))
    with pytest.raises(RunRefused, match=r"emprot\[bare\]"):
        run(job)


def told_command(caplog: pytest.LogCaptureFixture) -> list[str]:
    return shlex.split(next(r.getMessage() for r in caplog.records if "train on it: " in r.getMessage()))[3:]


@pytest.mark.parametrize(("options", "expected"), [({}, "ByGroup"), ({"split": True}, "Stored"), ({"one": True}, "")])
def test_prepare_ends_with_a_command_that_trains_on_the_store(
    files: Path,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
    options: dict[str, Any],
    expected: str,
) -> None:
    monkeypatch.setattr(logging.getLogger("emprot"), "propagate", True)
    caplog.set_level(logging.INFO, "emprot")
    split = registry.get("split", "ByTime")() if options.get("split") else None
    run(prepare(files, split=split, source=str(files / ("apo/r1.txt" if options.get("one") else "**/*.txt"))))
    command = told_command(caplog)
    assert command[0] == "emprot-run"
    assert main([*command[1:], "--check"]) == 0
    assert [word for word in command if "split" in word] == (
        [f"TrajectoryWindows.split=@splits.{expected}()"] if expected else []
    )
    assert f"NUM_RESIDUES={3 if options.get('one') else 0}" in command


@pytest.mark.parametrize(
    ("component", "library", "extra"),
    [
        ("readers.md", "MDAnalysis", "md"),
        ("readers.mdcath_h5", "h5py", "hdf5"),
        ("readers.misato_h5", "h5py", "hdf5"),
        ("readers.lmdb_frames", "lmdb", "lmdb"),
        ("tokenizers.threedi", "mini3di", "threedi"),
        ("tokenizers.dssp", "mdtraj", "dssp"),
    ],
)
def test_without_its_library_a_component_is_listed_and_a_run_says_in_a_line_which_extra_it_needs(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    component: str,
    library: str,
    extra: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(sys.modules, library, None)
    (tmp_path / "a.x").write_bytes(b"")
    kind, name = component.split(".")
    bindings = [f"Prepare.{kind} = {f'@{component}()' if kind == 'readers' else f'[@{component}()]'}"]
    bindings[0] = bindings[0].replace("readers =", "reader =")
    bindings += ["Prepare.source = 'a.x'", "md.topology = ''"] if kind == "readers" else []
    file = "prepare.gin" if kind == "readers" else "prepare_sample.gin"
    arguments = [f"--gin_file={file}", *(f"--gin_bindings={b}" for b in bindings), "--allow_unused"]
    assert main([*arguments, "--check"]) == 0
    assert main(["--list", kind[:-1]]) == main(["--describe", component]) == 0
    assert name in capsys.readouterr().out
    assert main(arguments) != 0
    told = [line for line in capsys.readouterr().err.splitlines() if "error" in line or "Traceback" in line]
    assert len(told) == 1
    assert f" needs {library}; " in told[0]
    assert told[0].endswith(f"pip install 'emprot[{extra}]'")


def test_trajectories_of_one_file_name_are_named_by_their_folders(tmp_path: Path) -> None:
    for folder in ("a", "b/c"):
        (tmp_path / folder).mkdir(parents=True)
        (tmp_path / folder / "traj.xtc").write_text("")
    assert list(find_trajectories([str(tmp_path / "**" / "*.xtc")], LengthReader())) == ["a", "b/c"]


def test_a_compacted_store_gives_back_the_ids_of_the_user(tmp_path: Path) -> None:
    ids = np.array([[49, 7, -1], [7, 7, 30], [30, 49, -1]])
    np.save(tmp_path / "a.npy", ids)
    assert prepared_ids(tmp_path, compact=True)["num_clusters"] == 3
    store = TrajectoryStore(tmp_path / "out" / "precomputed", verify=True)
    assert store.ids(0).tolist() == [[2, 0, -1], [0, 0, 1], [1, 2, -1]]
    assert store.array("class_ids").tolist() == [7, 30, 49]
    assert store.vocabulary.tokenizer["compacted_from"] == 50
    np.testing.assert_array_equal(store.original_ids(store.ids(0)), ids)
    whole = TrajectoryStore("sample:threedi")
    np.testing.assert_array_equal(whole.original_ids(whole.ids(0)), whole.ids(0))


def test_a_split_is_kept_in_the_store_and_is_the_same_for_every_run(files: Path) -> None:
    split = registry.get("split", "ByTime")(train=0.5, validation=0.2, test=0.3)
    run(prepare(files, split=split))
    store = TrajectoryStore(files.parent / "out" / "parity")
    stored = registry.get("split", "Stored")(str(store.directory))
    wanted = split.spans(store.index)
    for name, spans in stored.spans(store.index).items():
        np.testing.assert_array_equal(spans, wanted[name])
    part = stored.spans(store.index[[2, 0]])["train"]
    assert sorted(part.tolist()) == [(0, 0, 3), (1, 0, 5)]
    index = store.index.copy()
    index["name"][1] = "other"
    with pytest.raises(ValueError, match="the stored split has no trajectory 'other'"):
        stored.spans(index)
    with pytest.raises(StoreError, match="keeps no array 'split_train'"):
        registry.get("split", "Stored")("sample:threedi")


def test_a_protein_on_both_sides_of_the_split_is_named(files: Path) -> None:
    (files / "holo" / "r1.txt").write_text("5 3")
    split = registry.get("split", "ByGroup")(train=["apo"], test=["holo"], validation=0.0)
    source, target = str(files / "**" / "*.txt"), str(files.parent / "out")
    run(Prepare(source, NamedReader(), [FrameParity()], target, split=split))
    assert any("holo/r1 is held out, but its protein is in training" in text for text in report(files)["warnings"])

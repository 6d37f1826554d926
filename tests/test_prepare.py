"""Prepare: what it takes up, skips and refuses; a run that fails leaves nothing."""

import logging
import shlex
import shutil
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from preparing import FrameParity, LengthReader, prepare, prepared_ids, report, run, write_files

import emprot_core.jobs.prepare  # noqa: F401  registers the job
from emprot_core import registry
from emprot_core.cli import main
from emprot_core.contracts import Structure
from emprot_core.data.store import StoreError, TrajectoryStore
from emprot_core.data.windows import SPAN_DTYPE
from emprot_core.jobs.context import RunRefused
from emprot_core.jobs.prepare import Prepare
from emprot_core.jobs.trajectory_files import find_trajectories


@pytest.fixture
def files(tmp_path: Path) -> Path:
    return write_files(tmp_path)


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


def test_a_run_that_ends_while_stores_are_checked_shows_none_and_goes_on(files: Path, monkeypatch) -> None:
    encoded: list[int] = []
    with monkeypatch.context() as patch:
        patch.setattr("emprot_core.jobs.prepare.report_store", lambda *_: sys.exit(130))
        with pytest.raises(SystemExit):
            run(prepare(files, Shown(encoded)))
    assert [path.name for path in (files.parent / "out").iterdir()] == [".parts"]
    run(prepare(files, Shown(encoded)))
    assert encoded == [10, 4, 5]
    assert report(files)["store"] == str(files.parent / "out" / "parity")
    assert len(TrajectoryStore(files.parent / "out" / "parity", verify=True)) == 3


def test_an_interrupted_run_says_how_it_goes_on(files: Path, monkeypatch, caplog) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("emprot_core.jobs.prepare.report_store", interrupt)
    with pytest.raises(KeyboardInterrupt):
        run(prepare(files))
    assert "what is encoded is kept in" in caplog.text
    assert "the same command goes on with the rest" in caplog.text


class Shadowed(FrameParity):
    name = "shadowed"


def test_where_a_store_appears_meanwhile_none_is_shown_and_a_run_goes_on_without_it(files: Path) -> None:
    encoded: list[int] = []
    out = files.parent / "out"

    class Jealous(Shown):
        def encode(self, structure: Structure) -> np.ndarray:
            (out / "shadowed").mkdir(exist_ok=True)
            return super().encode(structure)

    with pytest.raises(StoreError, match=r"shadowed exists; remove it .*; what is encoded is kept in .*\.parts"):
        run(prepare(files, Jealous(encoded), Shadowed()))
    assert sorted(path.name for path in out.iterdir()) == [".parts", "shadowed"]
    (out / "shadowed").rmdir()
    run(prepare(files, Shown(encoded), Shadowed()))
    assert encoded == [10, 4, 5]
    assert len(TrajectoryStore(out / "shadowed")) == len(TrajectoryStore(out / "parity")) == 3


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


def test_coordinates_are_needed_by_tokenizers_that_read_them(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.zeros((5, 6), int))
    reader, tokenizer = registry.get("reader", "ids_npy"), registry.get("tokenizer", "protein_blocks")
    job = Prepare(str(tmp_path / "*.npy"), reader(), [tokenizer()], str(tmp_path / "out"))
    with pytest.raises(ValueError, match=r"a\.npy holds cluster IDs and no coordinates, which protein_blocks needs"):
        run(job)


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

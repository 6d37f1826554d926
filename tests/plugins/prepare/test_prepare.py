"""Prepare: what it takes up, skips and refuses, and what it says at the end."""

import logging
import shlex
from pathlib import Path
from typing import Any

import emprot_plugins.prepare.prepare  # noqa: F401  registers the job
import numpy as np
import pytest
from emprot_plugins.prepare.prepare import Prepare
from emprot_plugins.prepare.trajectory_files import find_trajectories
from preparing import FrameParity, LengthReader, prepare, prepared_ids, report, run, write_files

from emprot_core import registry
from emprot_core.cli import main
from emprot_core.data.store import StoreError, TrajectoryStore


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


def test_a_reader_that_gives_another_shape_is_refused(files: Path) -> None:
    (files / "apo" / "r1.txt").write_text("0 3")
    with pytest.raises(ValueError, match=r"expected coordinates of shape .*, got \(0, 3, 4, 3\) and .*r1\.txt"):
        run(prepare(files))


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


def test_nothing_but_bad_trajectories_is_refused(files: Path) -> None:
    for path in files.rglob("*.txt"):
        path.write_text("")
    with pytest.raises(ValueError, match=r"none of 3 trajectories could be used: .*is empty"):
        run(prepare(files, on_error="skip"))


def test_coordinates_are_needed_by_tokenizers_that_read_them(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.zeros((5, 6), int))
    reader, tokenizer = registry.get("reader", "ids_npy"), registry.get("tokenizer", "protein_blocks")
    job = Prepare(str(tmp_path / "*.npy"), reader(), [tokenizer()], str(tmp_path / "out"))
    with pytest.raises(ValueError, match=r"a\.npy holds cluster IDs and no coordinates, which protein_blocks needs"):
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

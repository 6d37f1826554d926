"""A Prepare that ended early: nothing of it is seen, and the next one goes on."""

import sys
from pathlib import Path

import emprot_plugins.prepare.prepare  # noqa: F401  registers the job
import numpy as np
import pytest
from preparing import FrameParity, prepare, report, run, write_files

from emprot_core.contracts import Structure
from emprot_core.data.store import StoreError, TrajectoryStore


@pytest.fixture
def files(tmp_path: Path) -> Path:
    return write_files(tmp_path)


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


def test_a_store_that_exists_is_refused_before_anything_is_read(files: Path) -> None:
    run(prepare(files))
    before = TrajectoryStore(files.parent / "out" / "parity").digest
    (files / "apo" / "r1.txt").write_text("")
    with pytest.raises(StoreError, match=r"parity exists; remove it, bind another Prepare\.output"):
        run(prepare(files))
    assert TrajectoryStore(files.parent / "out" / "parity", verify=True).digest == before


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
        patch.setattr("emprot_plugins.prepare.prepare.report_store", lambda *_: sys.exit(130))
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

    monkeypatch.setattr("emprot_plugins.prepare.prepare.report_store", interrupt)
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

    with pytest.raises(StoreError, match=r"shadowed exists; remove it, .*; what is encoded is kept in .*\.parts"):
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

"""Run directories that somebody else prepared, that go away, or that lie on file systems which lack something."""

import errno
import fcntl
import json
import os
import shutil
import signal
import time
from pathlib import Path

import pytest
from run_commands import DEBUG, bind, result
from runs_in_forks import RUN, output

from emprot_core import disk
from emprot_core.cli import main
from emprot_core.files import read_hashed_json, write_hashed_json

pytestmark = pytest.mark.usefixtures("in_an_empty_directory")
SHORT = [DEBUG, *bind("Train.baselines=[]", "Trainer.max_steps=4")]


@pytest.fixture(autouse=True)
def no_warning_was_told() -> None:
    disk._WARNED.clear()


@pytest.mark.parametrize("name", ["run.lock", "run.log", "metrics.jsonl"])
def test_a_link_in_the_place_of_a_file_of_the_run_is_not_followed(name: str, capsys) -> None:
    Path("runs/debug").mkdir(parents=True)
    Path("precious").write_text("keep me")
    Path("runs/debug", name).symlink_to(Path("precious").absolute())
    status = main(SHORT)
    assert Path("precious").read_text() == "keep me"
    assert status == 1 or name == "metrics.jsonl"  # which is moved aside
    assert "Traceback" not in capsys.readouterr().err


def test_a_link_in_the_place_of_a_temporary_file_is_removed() -> None:
    Path("runs/debug/checkpoints").mkdir(parents=True)
    Path("precious").write_text("keep me")
    for name in (".settings.json.partial", ".config.gin.partial", "checkpoints/.index.json.partial"):
        Path("runs/debug", name).symlink_to(Path("precious").absolute())
    assert main(SHORT) == 0
    assert Path("precious").read_text() == "keep me"


def test_a_pipe_in_the_place_of_the_lock_is_refused_at_once(capsys) -> None:
    Path("runs/debug").mkdir(parents=True)
    os.mkfifo("runs/debug/run.lock")
    assert main(SHORT) == 1
    assert "runs/debug cannot be written" in capsys.readouterr().err


@pytest.mark.parametrize("what", ["lock", "directory", "lock replaced"])
def test_a_run_whose_lock_or_directory_goes_away_stops(what: str, monkeypatch, capsys) -> None:
    from emprot_core.training.updates import Updates

    step, calls = Updates.step, []

    def removes(self, *arguments, **named):
        calls.append(None)
        if len(calls) == 3:
            if what == "directory":
                Path("runs/debug").rename("runs/elsewhere")
                Path("runs/debug").mkdir()
            else:
                Path("runs/debug/run.lock").unlink()
                if what == "lock replaced":
                    Path("runs/debug/run.lock").touch()
        return step(self, *arguments, **named)

    monkeypatch.setattr(Updates, "step", removes)
    assert main(SHORT) == 1
    assert "was removed or replaced while the run was going on; nothing more is written" in capsys.readouterr().err
    assert not Path("runs/debug/result.json").exists()
    assert what != "directory" or not Path("runs/debug/checkpoints").exists()


@pytest.mark.parametrize("number", [errno.ENOSYS, errno.ENOLCK, errno.ENOTSUP])
def test_a_file_system_without_locks_works_with_one_warning(number: int, monkeypatch, capsys) -> None:
    def refuses(descriptor, operation):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(fcntl, "flock", refuses)
    assert main(SHORT) == 0
    assert capsys.readouterr().err.count("has no locks: start no second process there") == 1


@pytest.mark.parametrize("number", [errno.EINVAL, errno.ENOTSUP])
def test_a_file_system_that_cannot_sync_a_directory_works_with_one_warning(number, monkeypatch, capsys) -> None:
    sync = os.fsync

    def refuses(descriptor):
        if os.path.isdir(f"/proc/self/fd/{descriptor}"):
            raise OSError(number, os.strerror(number))
        sync(descriptor)

    monkeypatch.setattr(os, "fsync", refuses)
    assert main(SHORT) == 0
    told = capsys.readouterr().err
    assert told.count("cannot sync a directory") == 1
    assert result()["status"] == "finished"


def test_a_sync_that_fails_for_another_reason_is_told(monkeypatch, capsys) -> None:
    sync = os.fsync

    def breaks(descriptor):
        if os.path.isdir(f"/proc/self/fd/{descriptor}"):
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        sync(descriptor)

    monkeypatch.setattr(os, "fsync", breaks)
    assert main(SHORT) == 1
    assert "Input/output error" in capsys.readouterr().err


def test_a_loss_that_is_not_finite_is_null_in_the_log_and_told(monkeypatch, capsys) -> None:
    from emprot_core.jobs.metrics_log import MetricsLog

    written = MetricsLog.on_validation_end

    def poisoned(self, trainer):
        trainer.val_logs["val/odd"] = float("nan")
        written(self, trainer)

    monkeypatch.setattr(MetricsLog, "on_validation_end", poisoned)
    assert main(SHORT) == 0

    def refuse(text: str) -> None:
        raise AssertionError(f"{text} is no JSON")

    lines = [
        json.loads(line, parse_constant=refuse) for line in Path("runs/debug/metrics.jsonl").read_text().splitlines()
    ]
    assert {line["val/odd"] for line in lines} == {None}
    assert "val/odd is not finite; metrics.jsonl says null" in capsys.readouterr().err


ODD = [
    {},
    {"files": []},
    {"files": {}, "outdated": {}},
    {"files": {"a": 1}, "outdated": []},
    {"files": {}, "outdated": [1]},
]


@pytest.mark.parametrize("record", ODD)
def test_an_index_that_is_sealed_but_odd_counts_as_damaged(record: dict, capsys) -> None:
    assert main(SHORT) == 0
    write_hashed_json(Path("runs/debug/checkpoints/index.json"), record)
    Path("runs/debug/result.json").unlink()
    assert main(SHORT) == 0
    assert "the checkpoints beside it are judged by their own CRC-32" in capsys.readouterr().err
    assert read_hashed_json(Path("runs/debug/checkpoints/index.json"))["files"]


@pytest.mark.parametrize("name", ["result.json", "baselines/index.json"])
def test_other_records_that_are_sealed_but_odd_are_written_anew(name: str, capsys) -> None:
    some = [DEBUG, *bind("Train.baselines=[@baselines.markov()]", "Trainer.max_steps=4")]
    assert main(some) == 0
    write_hashed_json(Path("runs/debug", name), {"odd": 1})
    if name != "result.json":
        Path("runs/debug/result.json").unlink()
    assert main(some) == 0
    assert "is damaged: it has no" in capsys.readouterr().err
    assert result()["status"] == "finished"


def test_a_terminal_that_closes_saves_as_a_preemption_does(runs, whole, tmp_path: Path) -> None:
    pid = runs.start(tmp_path, RUN, SABOTAGE="emprot_core.training.updates:Updates.step 12 stop")
    runs.wait_until_stopped(pid)
    os.kill(pid, signal.SIGHUP)
    os.kill(pid, signal.SIGCONT)
    assert runs.wait(pid) == 129, output(tmp_path)
    assert read_hashed_json(tmp_path / "run" / "result.json")["status"] == "preempted"
    assert runs(tmp_path, RUN) == 0
    assert (tmp_path / "run" / "metrics.jsonl").read_bytes() == (whole / "metrics.jsonl").read_bytes()
    shutil.rmtree(tmp_path / "run")


def test_a_clock_that_goes_back_hides_no_point_in_tensorboard(monkeypatch) -> None:
    from runs_in_forks import scalars

    assert main([*SHORT, "Trainer.log_every_steps=1"]) == 0
    before = scalars(Path("runs/debug"))
    Path("runs/debug/result.json").unlink()
    now = time.time
    monkeypatch.setattr(time, "time", lambda: now() - 3600)
    more = ["Trainer.log_every_steps=1", "Trainer.max_steps=8", "run.allow_config_change=True"]
    assert main([DEBUG, *bind("Train.baselines=[]"), *more]) == 0
    names = sorted(path.name for path in Path("runs/debug").glob("events.out.tfevents*"))
    assert len(names) == 3  # of each training, and of the second end: the first is cut off
    after = scalars(Path("runs/debug"))
    tag = "train/total_loss"
    assert [step for step, _ in after[tag]] == list(range(1, 9))
    assert after[tag][:4] == before[tag]

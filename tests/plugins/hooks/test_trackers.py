"""Trackers: every step once, under one id, whatever happens to the run or to the tracker."""

import json
import math
import re
import signal
import sqlite3
import sys
from pathlib import Path
from typing import Any

import pytest
import wandb_records
from emprot_plugins.hooks import Tracker
from places import ROOT
from runs_in_forks import RUN, bind, output
from trainings import hook

from emprot_core.checkpoint import CheckpointStore
from emprot_core.hooks.base import Hook, RunInfo
from emprot_core.training import EMPROTTrainer

PAGE = (ROOT / "docs" / "trackers.md").read_text()
(EXAMPLE,) = re.findall(r"```python\n# my_tracker\.py\n(.*?)```", PAGE, re.DOTALL)
SQLITE = ["--plugin=my_tracker", *RUN, *bind("Trainer.extra_hooks=[@hooks.EMA(), @hooks.SQLite()]")]
WANDB = [*RUN, *bind("Trainer.extra_hooks=[@hooks.EMA(), @hooks.WandB()]", "WandB.mode='offline'")]


class Listed(Tracker):
    """Keeps what it is sent in a dict that outlives it; fails as often as it is told to."""

    def __init__(self, service: dict[str, dict[int, Any]], failures: int = 0):
        super().__init__()
        self.service, self.failures = service, failures
        self.summary: Any = None

    def begin(self, run_id, folder, trainer) -> int:
        self.run = self.service.setdefault(run_id, {})
        return max(self.run, default=-1)

    def send(self, step, values) -> None:
        if self.failures:
            self.failures -= 1
            raise ConnectionError("no network")
        assert step not in self.run
        self.run[step] = values

    def finish(self, summary) -> None:
        self.summary = summary


class Breaks(Hook):
    def on_step_end(self, trainer) -> None:
        if trainer.step == 5:
            raise RuntimeError("broken on purpose")


def test_what_a_checkpoint_covers_is_sent_once_and_a_resumed_run_goes_on_under_its_id(
    make_batch, make_trainer, tmp_path: Path
) -> None:
    service: dict[str, dict[int, Any]] = {}
    batches = [make_batch(i) for i in range(4)]

    def trainer(*hooks: Hook):
        more = (hook("Checkpoint", every_steps=2), Listed(service))
        made = make_trainer(*hooks, *more, max_epochs=2, log_every_steps=1)
        made.attach(RunInfo(directory=tmp_path))
        return made

    with pytest.raises(RuntimeError):
        trainer(Breaks()).fit(batches, [make_batch(9)])
    assert [list(points) for points in service.values()] == [[1, 2, 3, 4]]
    resumed = trainer()
    resumed.load_state_dict(CheckpointStore(tmp_path / "checkpoints").newest_valid()[1])
    resumed.fit(batches, [make_batch(9)])
    resumed.hooks.emit("on_run_end", resumed)
    assert [list(points) for points in service.values()] == [[1, 2, 3, 4, 5, 6, 7, 8]]
    (points,) = service.values()
    assert points[8].keys() >= {"train/total_loss", "val/total_loss"}
    assert "val/total_loss" not in points[7]


def test_a_tracker_that_fails_is_one_warning_and_gets_everything_later(
    make_batch, make_trainer, tmp_path: Path, caplog
) -> None:
    service: dict[str, dict[int, Any]] = {}
    tracker = Listed(service, failures=3)
    trainer = make_trainer(hook("Checkpoint", every_steps=1), tracker, log_every_steps=1)
    trainer.attach(RunInfo(directory=tmp_path))
    trainer.fit([make_batch(i) for i in range(4)])
    assert caplog.messages == ["Listed fails: ConnectionError: no network; it is tried again after each checkpoint"]
    assert [list(points) for points in service.values()] == [[1, 2, 3, 4]]
    assert tracker.summary is None
    tracker.failures = 1
    tracker._points.add(5, {"train/total_loss": math.inf})
    trainer.hooks.emit("on_run_end", trainer)
    assert caplog.messages[-1] == "Listed fails: ConnectionError: no network; the same command sends it again"
    another = make_trainer(Listed(service))  # of a start that finds the run finished
    another.attach(RunInfo(directory=tmp_path))
    another.hooks.emit("on_run_end", another)
    assert [list(points) for points in service.values()] == [[1, 2, 3, 4, 5]]
    assert math.isnan(service.popitem()[1][5]["train/total_loss"])
    assert (tmp_path / "listed.jsonl").read_text().endswith('{"is_ended": true}\n')


def test_a_line_that_cannot_be_read_is_left_out_with_a_warning(make_trainer, tmp_path: Path, caplog) -> None:
    lines = ['{"id": "abcdefgh"}', '{"step": 1, "values": {"a": 1.0}}', "[]", '{"step": 2, "val']
    (tmp_path / "listed.jsonl").write_text("\n".join(lines))
    service: dict[str, dict[int, Any]] = {}
    for _ in range(2):
        trainer = make_trainer(Listed(service))
        trainer.attach(RunInfo(directory=tmp_path))
        trainer.hooks.emit("on_run_end", trainer)
        assert service == {"abcdefgh": {1: {"a": 1.0}}}
    assert len([text for text in caplog.messages if "has a line that cannot be read" in text]) == 4


def test_without_a_directory_all_is_sent_at_the_end_and_a_rehearsal_sends_nothing(make_batch, make_trainer) -> None:
    service: dict[str, dict[int, Any]] = {}
    for run in (RunInfo(is_rehearsal=True), RunInfo()):
        trainer = make_trainer(Listed(service), log_every_steps=1)
        trainer.attach(run)
        trainer.fit([make_batch(i) for i in range(2)])
        assert service == {}
        trainer.hooks.emit("on_run_end", trainer)
    assert [list(points) for points in service.values()] == [[1, 2]]


def rows(directory: Path) -> list[tuple[Any, ...]]:
    with sqlite3.connect(directory / "runs.sqlite") as file:
        return sorted(file.execute("SELECT step, name, value FROM points WHERE name NOT LIKE 'time/%'").fetchall())


@pytest.fixture(scope="module")
def tracked(runs, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The directory in which a tracked run was left alone."""
    folder = tmp_path_factory.mktemp("tracked")
    (folder / "my_tracker.py").write_text(EXAMPLE)
    assert runs(folder, SQLITE) == 0, output(folder)
    return folder


def test_the_tracker_of_the_page_has_under_forty_lines() -> None:
    assert len(EXAMPLE.strip().splitlines()) < 40


@pytest.mark.parametrize(
    "sabotage",
    [
        "emprot_core.training.updates:Updates.step 12 before",
        *(
            pytest.param(moment, marks=pytest.mark.slow)
            for moment in (
                "emprot_plugins.hooks.tracked_points:TrackedPoints.add 9 after",
                "emprot_plugins.hooks.tracker:Tracker._send 5 after",
                "emprot_plugins.hooks.tracked_points:TrackedPoints.end 1 before",
            )
        ),
    ],
)
def test_the_tracker_of_the_page_has_every_step_once_after_a_kill(
    runs, tracked: Path, tmp_path: Path, sabotage: str
) -> None:
    (tmp_path / "my_tracker.py").write_text(EXAMPLE)
    assert runs(tmp_path, SQLITE, SABOTAGE=sabotage) == -signal.SIGKILL, output(tmp_path)
    assert runs(tmp_path, SQLITE) == 0, output(tmp_path)
    assert rows(tmp_path) == rows(tracked)
    with sqlite3.connect(tmp_path / "runs.sqlite") as file:
        ((verdict,),) = file.execute("SELECT verdict FROM runs WHERE verdict IS NOT NULL").fetchall()
    assert verdict.startswith("verdict: ")


def record_of(run: Path) -> Path:
    (path,) = run.glob("wandb/offline-run-*/run-*.wandb")
    return path


@pytest.mark.slow
@pytest.mark.parametrize(
    "sabotage",
    [
        "emprot_core.training.updates:Updates.step 12 before",
        "emprot_plugins.hooks.wandb_run:WandB.send 5 before",
        "emprot_plugins.hooks.wandb_run:WandB.finish 1 after",
    ],
)
def test_wandb_offline_has_every_step_once_after_a_kill_under_the_same_id(runs, tmp_path: Path, sabotage: str) -> None:
    assert runs(tmp_path, WANDB, SABOTAGE=sabotage) == -signal.SIGKILL, output(tmp_path)
    run = tmp_path / "run"
    run_id = json.loads((run / "wandb.jsonl").read_text().splitlines()[0])["id"]
    assert runs(tmp_path, WANDB) == 0, output(tmp_path)
    assert "WandB fails" not in output(tmp_path)
    assert wandb_records.run_id(record_of(run)) == run_id
    found = wandb_records.history(record_of(run))
    result = json.loads((run / "result.json").read_text())
    assert list(found) == list(range(1, result["global_step"] + 1))  # log_every_steps is 1
    for line in map(json.loads, (run / "metrics.jsonl").read_text().splitlines()):
        logged = {name: value for name, value in line.items() if name.startswith("val/")}
        assert logged.items() <= found[line["step"]].items()
    bits = result["test"]["model"]["nll_bits"]
    assert wandb_records.summary(record_of(run))["test/nll_bits/h1"] == bits[0]


@pytest.mark.slow
def test_a_run_that_is_left_has_a_record_which_the_next_start_replaces(runs, tmp_path: Path) -> None:
    left = "emprot_core.training.updates:Updates.step 7 terminate"
    assert runs(tmp_path, WANDB, SABOTAGE=left) == 143, output(tmp_path)
    first = record_of(tmp_path / "run")
    assert list(wandb_records.history(first)) == [1, 2, 3, 4, 5, 6, 7]
    assert runs(tmp_path, WANDB) == 0, output(tmp_path)
    assert wandb_records.run_id(record_of(tmp_path / "run")) in first.name
    assert (tmp_path / "run" / "wandb" / "aside-1").is_dir()


@pytest.mark.slow
def test_use_wandb_of_the_mapping_switches_it_on(make_batch, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setenv("WANDB_MODE", "offline")
    config = {"num_clusters": 11, "future_horizon": 3, "d_embed": 16, "num_layers": 1, "device": "cpu"}
    for name in ("first", "second"):
        trainer = EMPROTTrainer({**config, "checkpoint_dir": str(tmp_path), "use_wandb": True, "learning_rate": 1e-3})
        trainer.train([make_batch(i) for i in range(20)], [make_batch(9)])
        (path,) = tmp_path.glob("wandb/offline-run-*/run-*.wandb") if name == "first" else (None,)
        if path is not None:
            assert list(wandb_records.history(path)) == [10, 20]
    ids = {wandb_records.run_id(path) for path in tmp_path.glob("wandb/offline-run-*/run-*.wandb")}
    assert len(ids) == 2  # a training that starts anew is another run


def test_without_wandb_the_message_names_the_extra(monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "wandb", None)
    with pytest.raises(ModuleNotFoundError, match=r"pip install 'emprot\[wandb\]'"):
        EMPROTTrainer({"num_clusters": 11, "use_wandb": True})
    EMPROTTrainer({"num_clusters": 11})

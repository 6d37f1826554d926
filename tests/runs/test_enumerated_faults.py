"""Every single disk operation of a command fails once: the same command ends the same, or refuses by name."""

import errno
import json
import sqlite3
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from enumerated_faults import (
    Command,
    check_durable,
    check_failures,
    check_kills,
    check_power_failures,
    outcome_of,
    run_in,
    without_power,
)
from run_commands import bind, weights

from emprot_core import files

NAMES = ["open", "replace", "link", "unlink", "fsync"]
ERRORS = [errno.EIO, errno.ENOSPC, errno.EINVAL, errno.ENOSYS]
RUN_ARGUMENTS = [
    "--gin_file=debug.gin",
    *bind("Train.baselines=[@baselines.markov()]", "Trainer.max_steps=2", "Checkpoint.every_steps=1"),
    *bind("Trainer.extra_hooks=[]", "TrajectoryWindows.past=0"),
]


def bits_of_run(folder: Path) -> Any:
    run = folder / "runs" / "debug"
    return weights(str(run)).tolist(), (run / "metrics.jsonl").read_bytes()


def content(folder: Path) -> dict[str, Any]:
    """Every file of an output, but for what tells of the time that it took."""
    paths = [path for path in (folder / "out").rglob("*") if path.is_file()]
    reports = {path.name: json.loads(path.read_text()) for path in paths if "report" in path.name}
    told = {name: {key: report[key] for key in report if "_per_s" not in key} for name, report in reports.items()}
    return told | {str(path.relative_to(folder)): path.read_bytes() for path in paths if path.name not in reports}


def bits_of_run_and_copies(folder: Path) -> Any:
    """The bits of the run; the copy of it, which must be whole; and what the tracker has, which must be all."""
    run, far = folder / "runs" / "debug", folder / "far"
    record = json.loads((far / "mirror.json").read_text())["files"]
    wrong = [name for name, digests in record.items() if [files.sha256(far / name)] != digests]
    here = {name: files.sha256(run / name) for name in record if (run / name).is_file()}
    assert not wrong
    assert {name: [digest] for name, digest in here.items()} == record
    with sqlite3.connect(folder / "runs.sqlite") as file:
        rows = file.execute("SELECT step, name, value FROM points WHERE name NOT LIKE 'time/%'").fetchall()
    return bits_of_run(folder), sorted(rows)


TRAIN = Command(RUN_ARGUMENTS, bits_of_run)
COPIED = Command(
    [
        *("--plugin=page_tracker", *RUN_ARGUMENTS, *bind("Trainer.log_every_steps=1")),
        *bind("Trainer.extra_hooks=[@hooks.Mirror(), @hooks.SQLite()]", "Mirror.url='file:far'"),
    ],
    bits_of_run_and_copies,
)


@pytest.fixture(scope="module")
def jobs(tmp_path_factory) -> dict[str, Command]:
    """A Prepare of two trajectories, and a Forecast and a Report of a finished run."""
    folder = tmp_path_factory.mktemp("inputs")
    for number in range(2):
        np.save(folder / f"r{number}.npy", (np.arange(60).reshape(20, 3) * (number + 1)) % 5)
    prepare = [
        "--gin_file=prepare_sample.gin",
        *bind("Prepare.reader=@readers.ids_npy()", "Prepare.tokenizers=[@tokenizers.precomputed()]"),
        *bind(f"Prepare.source='{folder}/*.npy'", "precomputed.num_clusters=5", "Prepare.output='out'"),
        *bind("Prepare.num_workers=1", "Prepare.fit_on=[]"),
        "--allow_unused",
    ]
    status, told = run_in(folder, RUN_ARGUMENTS)
    assert status == 0, told
    forecast = [
        "--gin_file=forecast.gin",
        *bind(f"Forecast.run='{folder}/runs/debug'", "Forecast.output='out'", "Forecast.frames='last'"),
        *bind("Forecast.rollouts=2", "Forecast.rollout_frames=4"),
    ]
    report = ["--report", f"{folder}/runs/debug", "--output", "out/page.html"]
    given = {"prepare": prepare, "forecast": forecast, "report": report}
    return {name: Command(arguments, content) for name, arguments in given.items()}


@pytest.mark.slow
def test_a_rename_that_fails_costs_nothing(tmp_path: Path) -> None:
    check_failures("replace", [errno.EIO], TRAIN, tmp_path, step=3)


@pytest.mark.campaign
@pytest.mark.parametrize("name", NAMES)
def test_whatever_operation_fails_the_next_start_ends_with_the_same_bits(name: str, tmp_path: Path) -> None:
    check_failures(name, ERRORS, TRAIN, tmp_path)


@pytest.mark.campaign
@pytest.mark.parametrize("name", NAMES)
def test_a_run_killed_before_any_operation_goes_on_to_the_same_bits(name: str, runs, tmp_path: Path) -> None:
    check_kills(name, TRAIN, runs, tmp_path)


@pytest.mark.slow
def test_a_rename_that_fails_leaves_the_mirror_and_the_tracker_whole_in_the_end(tmp_path: Path) -> None:
    check_failures("replace", [errno.EIO], COPIED, tmp_path, step=4)


@pytest.mark.campaign
@pytest.mark.parametrize("name", [*NAMES, "rename", "Python's open"])
def test_whatever_fails_the_mirror_and_the_tracker_are_whole_in_the_end(name: str, tmp_path: Path) -> None:
    check_failures(name, ERRORS[:2], COPIED, tmp_path)


@pytest.mark.campaign
@pytest.mark.parametrize("name", [*NAMES, "rename"])
def test_a_kill_before_any_operation_leaves_the_mirror_and_the_tracker_whole_in_the_end(
    name: str, runs, tmp_path: Path
) -> None:
    check_kills(name, COPIED, runs, tmp_path)


@pytest.mark.slow
def test_a_power_failure_loses_no_step_that_was_saved(runs, tmp_path: Path) -> None:
    assert check_power_failures(TRAIN, runs, tmp_path, step=23) >= 5


@pytest.mark.campaign
def test_no_power_failure_at_any_operation_loses_a_step_that_was_saved(runs, tmp_path: Path) -> None:
    assert check_power_failures(TRAIN, runs, tmp_path, step=1) >= 100


@pytest.mark.slow
@pytest.mark.parametrize("layer", ["files", "directories"])
def test_a_file_layer_without_a_sync_is_caught_by_the_power_failures(layer: str, runs, tmp_path: Path) -> None:
    expected = outcome_of(TRAIN, tmp_path / "whole")
    numbers = range(30, 200, 20)
    tried = (without_power(TRAIN, runs, tmp_path / str(n), n, expected, WITHOUT=layer) for n in numbers)
    assert next(filter(None, tried)) != "done"


@pytest.mark.slow
@pytest.mark.parametrize("job", ["prepare", "forecast", "report"])
def test_a_job_whose_disk_fails_ends_the_same_at_the_next_start(job: str, jobs, tmp_path: Path) -> None:
    check_failures("replace", [errno.EIO], jobs[job], tmp_path)


@pytest.mark.campaign
@pytest.mark.parametrize("name", [*NAMES, "rename", "mkdir", "rmdir", "Python's open"])
@pytest.mark.parametrize("job", ["prepare", "forecast", "report"])
def test_whatever_operation_of_a_job_fails_the_next_start_ends_the_same(
    job: str, name: str, jobs, tmp_path: Path
) -> None:
    check_failures(name, ERRORS[:2], jobs[job], tmp_path)


@pytest.mark.campaign
@pytest.mark.parametrize("name", [*NAMES, "rename", "mkdir", "rmdir"])
@pytest.mark.parametrize("job", ["prepare", "forecast"])
def test_a_job_killed_before_any_operation_ends_the_same_at_the_next_start(
    job: str, name: str, jobs, runs, tmp_path: Path
) -> None:
    check_kills(name, jobs[job], runs, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("job", ["prepare", "forecast"])
def test_a_job_that_loses_the_power_ends_the_same_at_the_next_start(job: str, jobs, runs, tmp_path: Path) -> None:
    assert check_power_failures(jobs[job], runs, tmp_path, step=11) >= 3


@pytest.mark.campaign
@pytest.mark.parametrize("job", ["prepare", "forecast"])
def test_a_job_that_loses_the_power_at_any_operation_ends_the_same(job: str, jobs, runs, tmp_path: Path) -> None:
    assert check_power_failures(jobs[job], runs, tmp_path, step=1) >= 20


@pytest.mark.slow
@pytest.mark.parametrize("command", ["train", "prepare", "forecast"])
def test_what_a_command_has_finished_outlives_the_power(command: str, jobs, runs, tmp_path: Path) -> None:
    check_durable({**jobs, "train": TRAIN}[command], runs, tmp_path / "place")


def test_a_file_layer_without_a_hash_check_is_caught(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    files.write_hashed_json(path, {"a": 1})
    path.write_text(path.read_text().replace("1", "2", 1))
    with pytest.raises(files.Damaged):
        files.read_hashed_json(path)

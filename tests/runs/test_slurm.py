"""Runs and sweeps that Slurm preempts and stops: they go on to the same bits."""

import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from places import SUPPORT
from run_commands import DEBUG, bind, result
from slurm import output, slurm

from emprot_core.cli import main

pytestmark = pytest.mark.slurm
RUN = [DEBUG, "Trainer.max_epochs=40", "Trainer.max_steps=240", "TrajectoryWindows.batch_size=1"]
RUN += bind("Train.baselines=[@baselines.interpolated()]", "Checkpoint.every_steps=40")
TWO_RANKS = bind("run.launcher=@launchers.slurm()", "slurm.partition='low'", "slurm.ranks=2")


@pytest.fixture(scope="module", params=[True, False], ids=["told of preemption", "SIGTERM alone"])
def cluster(request, tmp_path_factory) -> Iterator[None]:
    with slurm(tmp_path_factory.mktemp("slurm"), request.param):
        yield


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> Path:
    """The run that nobody interrupts."""
    directory = tmp_path_factory.mktemp("whole")
    command = bind("run.launcher=@launchers.local()", "local.ranks=2")
    assert main([*RUN, *command, f"run.directory={directory}"]) == 0
    return directory


def status_of(directory: Path) -> str:
    return result(str(directory))["status"] if (directory / "result.json").exists() else ""


def wait_for(condition, seconds: float = 240) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, output("squeue")
        time.sleep(0.2)


def test_a_job_that_is_preempted_is_queued_again_and_ends_with_the_same_bits(cluster, whole, tmp_path, capsys) -> None:
    assert main([*RUN, *TWO_RANKS, f"run.directory={tmp_path}"]) == 0
    assert "submitted job " in capsys.readouterr().out
    wait_for(lambda: "step 20/" in log_of(tmp_path))
    subprocess.run(["sbatch", "--partition=high", "--exclusive", "--wrap=sleep 1", "--output=/dev/null"], check=True)
    wait_for(lambda: status_of(tmp_path) == "finished")
    assert "going on from" in log_of(tmp_path)
    assert (tmp_path / "metrics.jsonl").read_bytes() == (whole / "metrics.jsonl").read_bytes()
    assert result(str(tmp_path))["test"] == result(str(whole))["test"]


def log_of(directory: Path) -> str:
    path = directory / "run.log"
    return path.read_text() if path.exists() else ""


@pytest.mark.parametrize("cluster", [True], ids=["told of preemption"], indirect=True)
def test_a_job_that_meets_its_time_limit_is_queued_again_and_ends_with_the_same_bits(
    cluster, whole, tmp_path, monkeypatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", str(SUPPORT))  # where the job finds slow_steps
    # The job has a minute, of which it is told after half; each of the first 200 steps waits a quarter of a second.
    limit = bind("slurm.minutes=1", "slurm.seconds_to_save=30")
    slow = ["--plugin=slow_steps", *bind("Trainer.extra_hooks=[@hooks.SlowSteps()]")]
    assert main([*RUN, *TWO_RANKS, *limit, *slow, f"run.directory={tmp_path}"]) == 0
    wait_for(lambda: status_of(tmp_path) == "finished", 300)
    assert "going on from" in log_of(tmp_path)
    assert (tmp_path / "metrics.jsonl").read_bytes() == (whole / "metrics.jsonl").read_bytes()


@pytest.mark.parametrize("cluster", [True], ids=["told of preemption"], indirect=True)
def test_an_array_of_jobs_shares_a_sweep(cluster, tmp_path) -> None:
    sweep = [DEBUG, "Trainer.max_steps=2", *bind("Train.baselines=[@baselines.interpolated()]"), "--repeat", "seeds=4"]
    launch = ["run.launcher=@launchers.slurm()", "slurm.num_jobs=2", "slurm.partition='low'"]
    assert main([*sweep, *launch, f"run.directory={tmp_path}"]) == 0
    wait_for(lambda: (tmp_path / "summary.txt").exists())
    assert [status_of(tmp_path / f"trial-{number}") for number in range(4)] == ["finished"] * 4

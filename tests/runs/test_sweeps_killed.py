"""Sweeps whose workers are killed at random moments: no trial runs twice, and none is lost."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from postgres import postgres
from run_commands import DEBUG, bind, result

from emprot_core.cli import main
from emprot_core.files import read_hashed_json

pytestmark = pytest.mark.campaign
SHORT = [DEBUG, "Trainer.max_steps=2", *bind("Train.baselines=[@baselines.interpolated()]")]
NUM_TRIALS, NUM_KILLS = 8, 20


def finish_under_kills(sweep: list[str]) -> None:
    """Two workers share a sweep; 20 times one of them is killed with its trial, or without it, and started again."""
    command = [sys.executable, "-m", "emprot_core", *sweep]
    random = np.random.default_rng(0)

    def start() -> subprocess.Popen:
        return subprocess.Popen(command, stderr=subprocess.DEVNULL, start_new_session=True)

    workers = [start(), start()]
    for _ in range(NUM_KILLS):
        time.sleep(random.uniform(0.5, 4))
        place = int(random.integers(2))
        if random.random() < 0.5:
            os.killpg(workers[place].pid, signal.SIGKILL)
        else:
            workers[place].kill()
        workers[place].wait()
        workers[place] = start()
    assert [worker.wait(400) for worker in workers] == [0, 0]


def check_ran_once(directory: Path) -> None:
    assert sorted(path.name for path in directory.glob("trial-*")) == sorted(f"trial-{n}" for n in range(NUM_TRIALS))
    for number in range(NUM_TRIALS):
        assert result(str(directory / f"trial-{number}"))["status"] == "finished"
        assert (directory / f"trial-{number}" / "run.log").read_text().count("verdict: ") == 1
    assert read_hashed_json(directory / "summary.json")["without_result"] == []


def test_on_a_shared_folder_the_figures_are_those_of_a_sweep_that_was_left_alone(tmp_path: Path) -> None:
    sweep = [*SHORT, "--sweep", "adamw.learning_rate=[1e-3, 3e-3]", "run.seed=[0, 1, 2, 3]"]
    finish_under_kills([*sweep, f"run.directory={tmp_path}/killed"])
    check_ran_once(tmp_path / "killed")
    assert main([*sweep, f"run.directory={tmp_path}/whole", "--jobs", "2"]) == 0
    for number in range(NUM_TRIALS):
        killed, whole = (tmp_path / name / f"trial-{number}" for name in ("killed", "whole"))
        assert (killed / "metrics.jsonl").read_bytes() == (whole / "metrics.jsonl").read_bytes()
        assert result(str(killed))["test"] == result(str(whole))["test"]
    summaries = [(tmp_path / name / "summary.json").read_bytes() for name in ("killed", "whole")]
    assert summaries[0] == summaries[1]


def test_a_study_in_postgresql_has_every_trial_once(tmp_path: Path) -> None:
    import optuna

    with postgres(tmp_path / "database") as url:
        values = ["--sweep", "adamw.learning_rate=log(1e-4, 1e-2)", "--search", "tpe", "--trials", str(NUM_TRIALS)]
        finish_under_kills([*SHORT, *values, f"STORAGE='{url}'", f"run.directory={tmp_path}/sweep"])
        check_ran_once(tmp_path / "sweep")
        (name,) = optuna.get_all_study_names(url)
        study = optuna.load_study(study_name=name, storage=url)
        assert sorted(trial.user_attrs["trial"] for trial in study.trials) == list(range(NUM_TRIALS))
        for trial in study.trials:
            assert trial.value == result(trial.user_attrs["directory"])["best"]["val/total_loss"]

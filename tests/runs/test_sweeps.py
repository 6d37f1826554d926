"""Sweeps: every trial once, whatever dies; the table; what is refused."""

import subprocess
import sys
import time
from pathlib import Path
from statistics import mean, stdev

import numpy as np
import pytest
from report_pages import facts_of
from run_commands import DEBUG, bind, result

from emprot_core.cli import main
from emprot_core.evaluation.comparison import difference, read_model_scores
from emprot_core.files import read_hashed_json

SHORT = [DEBUG, "Trainer.max_steps=2", *bind("Train.baselines=[@baselines.interpolated()]")]
SWEEP = [*SHORT, "--repeat", "seeds=2"]


@pytest.fixture(scope="module")
def sweep(tmp_path_factory) -> Path:
    """A finished sweep of two seeds."""
    directory = tmp_path_factory.mktemp("sweep") / "seeds"
    assert main([*SWEEP, f"run.directory={directory}", "--jobs", "2"]) == 0
    return directory


def test_a_sweep_runs_every_trial_in_a_directory_of_its_own(sweep: Path) -> None:
    assert sorted(path.name for path in sweep.glob("trial-*")) == ["trial-0", "trial-1"]
    settings = [read_hashed_json(sweep / f"trial-{n}" / "settings.json")["settings"] for n in range(2)]
    assert [each["run.seed"]["value"] for each in settings] == ["0", "1"]


def test_the_table_has_means_over_the_seeds_and_the_paired_interval(sweep: Path) -> None:
    (row,) = read_hashed_json(sweep / "summary.json")["recipes"]
    tests = [result(str(sweep / f"trial-{number}")) for number in (0, 1)]
    assert row["trials"] == [0, 1]
    losses = [test["best"]["val/total_loss"] for test in tests]
    assert row["validation"] == {"mean": mean(losses), "sd": stdev(losses)}
    bits = [test["test"]["model"]["nll_bits"][3] for test in tests]
    assert row["nll_bits"][3] == {"mean": pytest.approx(mean(bits)), "sd": pytest.approx(stdev(bits))}
    assert row["gain"]["over"] == "interpolated"
    gains = [test["test"]["gains"]["interpolated"]["bits"] for test in tests]
    np.testing.assert_allclose(row["gain"]["bits"], np.mean(gains, axis=0), atol=1e-6)
    paths = [sweep / f"trial-{number}" / "scores-test.npz" for number in (0, 1)]
    sides = [[read_model_scores(path, who) for path in paths] for who in ("interpolated", "model")]
    assert row["gain"]["low"] == difference(*sides, is_paired=True)["low"]
    assert "the config  2       " in (sweep / "summary.txt").read_text()


def test_the_best_trial_is_a_config_that_runs(sweep: Path) -> None:
    assert main(["--check", f"--gin_file={sweep}/best.gin"]) == 0
    losses = {n: result(str(sweep / f"trial-{n}"))["best"]["val/total_loss"] for n in range(2)}
    assert f"trial-{min(losses, key=losses.__getitem__)}," in (sweep / "best.gin").read_text().splitlines()[0]


def test_a_finished_sweep_started_again_runs_nothing(sweep: Path, capsys) -> None:
    before = {path: path.stat().st_mtime_ns for path in sweep.glob("trial-*/*")}
    assert main([*SWEEP, f"run.directory={sweep}"]) == 0
    assert {path: path.stat().st_mtime_ns for path in sweep.glob("trial-*/*")} == before
    assert "begins" not in capsys.readouterr().err


def test_a_changed_sweep_is_refused_with_the_difference(sweep: Path, capsys) -> None:
    assert main([*SHORT, "adamw.weight_decay=0.5", "--repeat", "seeds=3", f"run.directory={sweep}"]) == 1
    told = capsys.readouterr().err
    assert "holds another sweep" in told
    assert "adamw.weight_decay: 0.05 -> 0.5" in told
    assert "repeat: seeds=2 -> seeds=3" in told
    assert "Traceback" not in told


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--sweep", "adamw.learning_rat=[1, 2]"], "did you mean"),
        (["--sweep", "adamw.learning_rate=log(1e-4, 1)"], "add --search random --trials 20"),
        (["--sweep", "adamw.learning_rate=log(1e-4, 1)", "--search", "random"], "add --trials 20"),
        (["--sweep", "run.seed=[1, 1]"], "have the same config"),
        (["--repeat", "folds"], "expected 'seeds=5' or 'groups'"),
        (["--repeat", "groups"], "the data hold one protein"),
        (["--jobs", "2"], "--jobs goes with --sweep"),
    ],
)
def test_a_mistake_is_told_before_anything_runs(arguments: list[str], message: str, tmp_path: Path, capsys) -> None:
    assert main([*SHORT, *arguments, f"run.directory={tmp_path}/sweep"]) in (1, 2)
    told = capsys.readouterr().err
    assert message in told
    assert "Traceback" not in told
    assert not (tmp_path / "sweep").exists()


@pytest.mark.slow
def test_a_trial_that_fails_is_recorded_and_ends_nothing(tmp_path: Path, capsys) -> None:
    values = "TrajectoryWindows.history=[10, 240]"  # there are not so many frames
    assert main([*SHORT, "--sweep", values, f"run.directory={tmp_path}"]) == 0
    (ended,) = read_hashed_json(tmp_path / "summary.json")["without_result"]
    assert (ended["trial"], ended["state"]) == (1, "failed")
    assert ended["why"].startswith("exit status 1: error: ")
    assert result(str(tmp_path / "trial-0"))["status"] == "finished"
    assert "trial 1 is failed: exit status 1: error: " in (tmp_path / "summary.txt").read_text()


@pytest.mark.campaign
def test_random_trials_are_the_same_in_any_process(tmp_path: Path) -> None:
    sweep = [*SHORT, "Trainer.max_steps=1", "--sweep", "adamw.learning_rate=log(1e-4, 1e-2)"]
    sweep += ["--search", "random", "--trials", "2"]
    for name in "ab":
        assert main([*sweep, f"run.directory={tmp_path}/{name}"]) == 0
    records = [[read_hashed_json(tmp_path / name / "trials" / f"{n}.json")["values"] for n in (0, 1)] for name in "ab"]
    assert records[0] == records[1]


@pytest.mark.campaign
def test_optuna_suggests_and_the_ledger_remembers(tmp_path: Path) -> None:
    storage = f"sqlite:///{tmp_path}/study.db"
    sweep = [*SHORT, "--sweep", "adamw.learning_rate=log(1e-4, 1e-2)", "Trainer.log_every_steps=[1, 2]"]
    sweep += ["--search", "tpe", "--trials", "3", f"run.directory={tmp_path}/s", f"STORAGE='{storage}'"]
    assert main(sweep) == 0
    assert main(sweep) == 0
    import optuna

    (name,) = optuna.get_all_study_names(storage)
    study = optuna.load_study(study_name=name, storage=storage)
    assert [trial.user_attrs["trial"] for trial in study.trials] == [0, 1, 2]
    losses = [result(str(tmp_path / "s" / f"trial-{n}"))["best"]["val/total_loss"] for n in range(3)]
    assert [trial.value for trial in study.trials] == losses


def test_a_sweep_is_compared_and_reported_as_its_runs(sweep: Path, capsys) -> None:
    assert main(["--compare", str(sweep)]) == 0
    told = capsys.readouterr().out
    assert "trial-0" in told
    assert "trial-1" in told
    assert main(["--report", str(sweep)]) == 0
    assert {record["name"] for record in facts_of(sweep / "report.html")["runs"]} == {"trial-0", "trial-1"}


def test_without_optuna_the_message_names_the_extra(tmp_path: Path, monkeypatch, capsys) -> None:
    monkeypatch.setitem(sys.modules, "optuna", None)
    sweep = [*SHORT, "--sweep", "adamw.learning_rate=log(1e-4, 1)", "--search", "tpe", "--trials", "2"]
    assert main([*sweep, f"run.directory={tmp_path}"]) == 1
    assert "pip install 'emprot[sweep]'" in capsys.readouterr().err


@pytest.mark.campaign
def test_sigterm_lets_the_trials_save_and_the_same_command_goes_on(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "emprot_core", *SWEEP, f"run.directory={tmp_path}", "--jobs", "2"]
    command[command.index("Trainer.max_steps=2")] = "Trainer.max_steps=12"
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    wait_for(lambda: len(list(tmp_path.glob("trial-*/checkpoints/index.json"))) > 0)
    process.terminate()
    assert process.wait(60) == 143
    assert "the same command goes on from there" in process.stderr.read()
    process.stderr.close()
    subprocess.run(command, check=True, capture_output=True)
    assert [result(str(tmp_path / f"trial-{n}"))["status"] for n in range(2)] == ["finished"] * 2


def wait_for(condition, seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.05)

"""What a run says of itself at its end: the verdict, its splits, its code, its files; and its fitted baselines."""

import json
import subprocess
from pathlib import Path

import numpy as np
import pytest
from run_commands import DEBUG, bind, result

from emprot_core.cli import main
from emprot_core.files import read_hashed_json
from emprot_core.jobs.code_version import code_version
from emprot_core.jobs.verify import verify_run

pytestmark = pytest.mark.usefixtures("in_an_empty_directory")
FEW = bind("Train.baselines=[@baselines.markov(), @baselines.interpolated()]")


def test_the_last_line_is_the_verdict_and_result_json_says_what_it_rests_on(capsys) -> None:
    assert main([DEBUG, *FEW]) == 0
    lines = capsys.readouterr().err.rstrip().splitlines()
    assert lines[-1] == "verdict: worse than interpolated, the best baseline, at every horizon"
    assert "runs/debug/result.json" in lines[-2]
    assert "--gin_file=experts.gin and another run.directory" in lines[-3]
    assert "train longer, with Trainer.max_steps=24" in lines[-4]
    assert "splits  train: P28222 (165 frames)" in lines[2]
    assert lines[-1] in Path("runs/debug/run.log").read_text()
    summary = result()
    assert summary["test"]["verdict"] == "worse"
    assert summary["test"]["best_baseline"] == "interpolated"
    for gain in summary["test"]["gains"].values():
        assert all(low < bits < high for low, bits, high in zip(gain["low"], gain["bits"], gain["high"], strict=True))
    assert summary["splits"]["test"] == {"P28222": {"trajectories": 1, "frames": 50}}
    assert summary["score_version"] == 1
    assert summary["sampled"] == {}
    assert set(summary["code"]) == {"version", "commit", "dirty"}
    with np.load("runs/debug/scores-test.npz", allow_pickle=False) as scores:
        assert scores["forecasters"].tolist() == ["markov", "interpolated", "model"]
        means = np.nanmean(scores["nll_bits_0"], axis=(1, 2), dtype=np.float64)
    assert means[2].tolist() == pytest.approx(summary["test"]["model"]["nll_bits"], rel=1e-6)


def test_result_json_and_the_banner_tell_of_what_a_sample_was_taken(capsys) -> None:
    bound = ("TrajectoryWindows.max_fit_windows=10", "TrajectoryWindows.max_eval_windows=5", "Trainer.max_steps=2")
    assert main([DEBUG, *FEW, *bind(*bound)]) == 0
    told = capsys.readouterr().err
    assert "sample  10 of 21 train, 5 of 7 test windows: baselines and scores are of these" in told
    assert "scored on 5 of 7 windows" in told
    summary = result()
    assert summary["sampled"]["train"] == {"windows": 10, "of": 21}
    assert summary["test"]["sampled"]["nll_bits"].keys() == {"markov", "interpolated", "model"}


def test_a_run_without_test_windows_names_the_command_that_judges_it(capsys) -> None:
    assert main([DEBUG, *FEW, *bind("ByTime.test=0.0")]) == 0
    last = capsys.readouterr().err.rstrip().splitlines()[-1]
    assert result()["test"] is None
    command = last.partition("emprot-run ")[2].split()
    assert main(command) == 0
    assert "verdict: " in capsys.readouterr().err.rstrip().splitlines()[-1]
    record = json.loads(Path("runs/debug/evaluation.json").read_text())
    assert (record["split"], record["score_version"]) == ("validation", 1)


def test_fitted_baselines_are_kept_and_a_resume_reads_them(capsys, monkeypatch) -> None:
    assert main([DEBUG, *FEW, *bind("Trainer.max_steps=4")]) == 0
    index = read_hashed_json(Path("runs/debug/baselines/index.json"))
    assert set(index["files"]) == {"markov.npz", "interpolated.npz"}
    whole = result()["test"]
    fits: list[str] = []
    Path("runs/debug/result.json").unlink()
    with monkeypatch.context() as patched:
        patched.setattr("emprot_core.jobs.fitted_baselines.fit", lambda baseline, data: fits.append(baseline.name))
        assert main([DEBUG, *FEW, *bind("Trainer.max_steps=4")]) == 0
    assert fits == []
    assert result()["test"] == whole
    with Path("runs/debug/baselines/markov.npz").open("r+b") as file:
        file.seek(100)
        file.write(b"!")
    assert "baselines/markov.npz: damaged: its SHA-256 differs" in verify_run("runs/debug")
    Path("runs/debug/result.json").unlink()
    capsys.readouterr()
    assert main([DEBUG, *FEW, *bind("Trainer.max_steps=4")]) == 0
    assert "markov.npz is missing or damaged; the baseline is fitted again" in capsys.readouterr().err
    assert result()["test"] == whole
    assert not [line for line in verify_run("runs/debug") if "damaged" in line]


def test_tensorboard_shows_the_gain_over_the_best_baseline_on_validation(capsys) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    assert main([DEBUG, *FEW]) == 0
    assert "the best baseline on the validation split is interpolated" in capsys.readouterr().err
    events = EventAccumulator("runs/debug").Reload()
    gains = [events.Scalars(f"skill/gain_over_best/h{h}") for h in range(1, 5)]
    assert [scalar.step for scalar in gains[0]] == [6, 12]
    own = [scalar.value for scalar in events.Scalars("val/nll_bits/h1")]
    bars = [scalar.value + bits for scalar, bits in zip(gains[0], own, strict=True)]
    assert bars[0] == pytest.approx(bars[1], abs=1e-4)


def test_the_commit_of_the_folder_of_the_gin_file_is_told(tmp_path) -> None:
    file = tmp_path / "own.gin"
    file.write_text("include 'debug.gin'\n")
    assert code_version(str(file)) == {**code_version("debug.gin"), "commit": None, "dirty": None}

    def git(*arguments: str) -> str:
        settings = ["-c", "user.name=a", "-c", "user.email=a@b.c", "-c", "commit.gpgsign=false"]
        done = subprocess.run(
            ["git", "-C", tmp_path, *settings, *arguments], capture_output=True, text=True, check=True
        )
        return done.stdout.strip()

    git("init", "-q")
    git("add", "own.gin")
    git("commit", "-qm", "first")
    assert (code_version(str(file))["commit"], code_version(str(file))["dirty"]) == (git("rev-parse", "HEAD"), False)
    file.write_text("include 'base.gin'\n")
    assert code_version(str(file))["dirty"] is True

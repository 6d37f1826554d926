"""--dry_run: what a run will take, told by a few steps that leave nothing behind."""

import re
import time
from pathlib import Path

import pytest
from run_commands import DEBUG, bind, result

from emprot_core.cli import main
from emprot_core.config import load
from emprot_core.jobs.dry_run import DryRun, dry_run
from emprot_core.jobs.dry_run_text import format_dry_run

pytestmark = pytest.mark.usefixtures("in_an_empty_directory")
SHORT = [DEBUG, *bind("Train.baselines=[@baselines.markov()]", "TrajectoryWindows.past=0")]


def test_it_tells_all_figures_and_leaves_nothing(capsys) -> None:
    assert main([*SHORT, "--dry_run"]) == 0
    told = capsys.readouterr().out
    names = [line.split()[0] for line in told.splitlines()]
    assert names == ["parameters", "step", "epoch", "run", "memory", "checkpoint", "disk"]
    assert "14,464" in told
    assert "6 an epoch, 12 in all" in told
    assert not list(Path().iterdir())


def test_a_run_in_the_same_place_is_not_touched(capsys) -> None:
    assert main([*SHORT, "Trainer.max_steps=2"]) == 0
    before = {path: path.read_bytes() for path in Path("runs").rglob("*") if path.is_file()}
    assert main([*SHORT, "Checkpoint.directory=runs/debug/checkpoints", "--dry_run"]) == 0
    assert {path: path.read_bytes() for path in Path("runs").rglob("*") if path.is_file()} == before


def test_the_figures_are_near_those_of_the_run() -> None:
    arguments = [DEBUG, *bind("Trainer.max_steps=40", "Trainer.max_epochs=10", "Train.baselines=[]")]
    found = dry_run(
        load(["debug.gin"], ["Trainer.max_steps=40", "Trainer.max_epochs=10", "Train.baselines=[]"]), Path("r")
    )
    started = time.perf_counter()
    assert main(arguments) == 0
    assert 0.2 < (found.seconds - found.seconds_to_start) / (time.perf_counter() - started) < 3
    (size,) = {path.stat().st_size for path in Path("runs/debug/checkpoints").glob("final.pt")}
    assert found.checkpoint_bytes == pytest.approx(size, rel=0.1)
    assert found.steps == result()["global_step"] == 40
    assert found.validations == 7


def test_a_config_that_trains_nothing_is_refused(capsys) -> None:
    assert main(["--gin_file=prepare_sample.gin", "--dry_run"]) == 1
    assert "prepare_sample.gin trains nothing" in capsys.readouterr().err


def test_a_full_disk_is_warned_of() -> None:
    found = DryRun(1, 10, 0.1, 5, 2, 1.0, 0.5, 0.0, 0.0, 10**9, 10**9, 4 * 10**9)
    text = format_dry_run(found, Path("runs/x"))
    assert re.search(r"warning: the disk has no room for 5 checkpoints", text)
    assert found.seconds == pytest.approx(3.5)
    assert "no room" not in format_dry_run(found._replace(free_bytes=10**11), Path("runs/x"))

"""A run directory that holds a run already."""

import shutil
from pathlib import Path

import pytest
from run_commands import DEBUG, bind, result

from emprot_core.cli import main

pytestmark = pytest.mark.usefixtures("in_an_empty_directory")


def test_a_finished_run_says_so_and_does_nothing(capsys) -> None:
    assert main([DEBUG]) == 0
    before = {path: path.stat().st_mtime_ns for path in Path("runs/debug/checkpoints").iterdir()}
    capsys.readouterr()
    assert main([DEBUG]) == 0
    assert "runs/debug is finished" in capsys.readouterr().err
    assert before == {path: path.stat().st_mtime_ns for path in Path("runs/debug/checkpoints").iterdir()}


def test_a_finished_run_names_a_checkpoint_that_is_damaged(capsys) -> None:
    assert main([DEBUG]) == 0
    path = Path("runs/debug/checkpoints/best.pt")
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    capsys.readouterr()
    assert main([DEBUG]) == 0
    message = capsys.readouterr().err
    assert "runs/debug is finished" in message
    assert "best.pt is damaged" in message
    assert "restore it, or train again into another run.directory" in message


def test_a_finished_run_whose_checkpoints_are_gone_says_so(capsys) -> None:
    assert main([DEBUG]) == 0
    shutil.rmtree("runs/debug/checkpoints")
    capsys.readouterr()
    assert main([DEBUG]) == 0
    assert "checkpoints is missing; restore it" in capsys.readouterr().err


def test_a_residue_embedding_is_refused_on_a_protein_that_training_lacks(capsys) -> None:
    unseen = bind(
        "TrajectoryWindows.trajectories=None",
        "TrajectoryWindows.split=@splits.ByGroup()",
        "ByGroup.test=('P28222',)",
    )
    assert main([DEBUG, *unseen, "--gin_bindings=ByGroup.validation=()"]) == 1
    message = capsys.readouterr().err
    assert "an embedding for every residue index" in message
    assert "the test split has P28222; bind NUM_RESIDUES = 0" in message
    assert not Path("runs/debug/checkpoints").exists()


def test_fresh_takes_the_next_free_directory() -> None:
    for _ in range(2):
        assert main([DEBUG, "--fresh", *bind("Trainer.max_steps=1", "Train.baselines=[]")]) == 0
    assert sorted(path.name for path in Path("runs").iterdir()) == ["debug", "debug-2"]


def test_a_changed_config_is_refused_with_the_difference_and_the_ways_out(capsys) -> None:
    assert main([DEBUG]) == 0
    assert main([DEBUG, *bind("adamw.learning_rate=1e-4")]) == 2
    message = capsys.readouterr().err
    for text in ("adamw.learning_rate", "0.003", "0.0001", "--fresh", "run.directory", "run.allow_config_change=True"):
        assert text in message


def test_a_finished_run_goes_on_with_more_epochs_if_the_change_is_allowed() -> None:
    assert main([DEBUG]) == 0
    more = bind("Trainer.max_epochs=3", "Trainer.max_steps=18", "run.allow_config_change=True")
    assert main([DEBUG, *more]) == 0
    assert (result()["epoch"], result()["global_step"]) == (3, 18)


def test_a_second_process_in_the_directory_is_refused(capsys) -> None:
    import fcntl

    Path("runs/debug").mkdir(parents=True)
    with Path("runs/debug/run.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert main([DEBUG]) == 2
    assert "another process is running in runs/debug" in capsys.readouterr().err


def test_verify_reports_a_damaged_checkpoint(capsys) -> None:
    assert main([DEBUG, *bind("Train.baselines=[]")]) == 0
    assert main(["--verify", "runs/debug"]) == 0
    best = Path("runs/debug/checkpoints/best.pt")
    best.write_bytes(best.read_bytes()[:-1] + b"x")
    assert main(["--verify", "runs/debug"]) == 1
    assert "best.pt: damaged" in capsys.readouterr().out


def test_a_tilde_in_the_run_directory_is_the_home_directory(in_an_empty_directory, tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert main([DEBUG, "Train.baselines=[]", "Trainer.max_steps=1", "run.directory=~/runs/first"]) == 0
    assert (tmp_path / "home" / "runs" / "first" / "result.json").is_file()

"""Launchers: what they start, and what the command line makes of them."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from emprot_plugins.launchers import local, slurm
from emprot_plugins.launchers.slurm import RequeuedCommand
from run_commands import DEBUG, bind

from emprot_core.cli import main
from emprot_core.contracts import LAUNCHED
from emprot_core.errors import EmprotError

LAUNCHER = bind("run.launcher=@launchers.local()")


class Started(list):
    """Stands for subprocess.Popen: notes what is started, and ends at once."""

    def __call__(self, command, env):
        self.append((command, env[LAUNCHED]))
        return self

    def wait(self) -> int:
        return 0


@pytest.fixture
def started(monkeypatch) -> Started:
    monkeypatch.setattr(subprocess, "Popen", started := Started())
    return started


def test_one_rank_is_python_and_several_are_torchrun() -> None:
    assert local().command(["--x"]) == [sys.executable, "-m", "emprot_core", "--x"]
    command = slurm(ranks=4).command(["--x"])
    assert command[:4] == [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    assert command[4:] == ["--nproc_per_node=4", "-m", "emprot_core", "--x"]


def test_a_launched_run_gets_the_same_arguments_and_the_directory(started: Started, tmp_path: Path, capsys) -> None:
    assert main([DEBUG, *LAUNCHER, "--fresh", f"run.directory={tmp_path}"]) == 0
    ((command, flag),) = started
    assert command[3:] == [DEBUG, *LAUNCHER, f"run.directory={tmp_path}", f"run.directory='{tmp_path}-2'"]
    assert flag == "1"
    assert capsys.readouterr().out == f"all 1 processes are done; see {tmp_path}-2\n"


def test_a_sweep_is_launched_as_workers_without_ranks(started: Started, tmp_path: Path) -> None:
    launcher = ["run.launcher=@launchers.local()", "local.ranks=2", "local.num_jobs=3"]
    assert main([DEBUG, "--repeat", "seeds=2", *launcher, f"run.directory={tmp_path}"]) == 0
    assert len(started) == 3
    assert all(command[:3] == [sys.executable, "-m", "emprot_core"] for command, _ in started)


def test_what_was_launched_does_the_run(started: Started, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setenv(LAUNCHED, "1")
    assert (
        main([DEBUG, *LAUNCHER, f"run.directory={tmp_path}", "Trainer.max_steps=1", *bind("Train.baselines=[]")]) == 0
    )
    assert started == []
    assert json.loads((tmp_path / "result.json").read_text())["status"] == "finished"
    monkeypatch.delenv(LAUNCHED)
    # The launcher is no part of the result: without it the run is the same one, and finished.
    assert main([DEBUG, f"run.directory={tmp_path}", "Trainer.max_steps=1", *bind("Train.baselines=[]")]) == 0


def test_neither_a_check_nor_a_wrong_config_launches_anything(started: Started, capsys) -> None:
    assert main([DEBUG, *LAUNCHER, "--check"]) == 0
    assert main([DEBUG, *LAUNCHER, "Trainer.max_step=3"]) == 2
    assert started == []


def test_a_process_that_fails_is_told(tmp_path: Path) -> None:
    with pytest.raises(EmprotError, match="1 of 1 processes failed, with exit status 3"):
        local().submit([sys.executable, "-c", "raise SystemExit(3)"], tmp_path)


def test_a_time_limit_that_leaves_no_time_to_compute_is_refused() -> None:
    with pytest.raises(EmprotError, match="seconds_to_save is 60, expected less than"):
        slurm(minutes=1)


def test_without_submitit_the_message_names_the_extra(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "submitit", None)
    with pytest.raises(ModuleNotFoundError, match=r"pip install 'emprot\[slurm\]'"):
        slurm().submit(["true"], tmp_path)


def test_without_slurm_the_error_is_one_line(tmp_path: Path, monkeypatch, capsys) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert main([DEBUG, *bind("run.launcher=@launchers.slurm()"), f"run.directory={tmp_path}/run"]) == 1
    told = capsys.readouterr().err
    assert "the job was not submitted: " in told
    assert "Traceback" not in told


def test_a_command_of_a_job_ends_by_itself_or_fails_loudly(tmp_path: Path) -> None:
    RequeuedCommand([sys.executable, "-c", "pass"], tmp_path)()
    with pytest.raises(RuntimeError, match="exit status 3"):
        RequeuedCommand([sys.executable, "-c", "raise SystemExit(3)"], tmp_path)()


def test_a_job_that_must_leave_ends_its_command_and_is_queued_again(tmp_path: Path) -> None:
    import threading

    command = RequeuedCommand([sys.executable, "-c", "import time; time.sleep(60)"], tmp_path)
    threading.Thread(target=command, daemon=True).start()
    while not hasattr(command, "_process"):
        pass
    again = command.checkpoint()
    assert command._status == -15
    assert again.function._command == command._command
    assert again.function._status is None

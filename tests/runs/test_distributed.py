"""Several ranks: the same training as one, the same order, nothing twice, and no rank left waiting."""

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import torch
from places import SUPPORT
from rank_programs import make_store, open_gather
from runs_in_forks import assert_same_outcome, bind

from emprot_core.data.loader import WindowLoader
from emprot_core.data.order import EpochOrder

CALL = ["--call", str(SUPPORT / "rank_programs.py")]
# 24 steps of 3 an epoch; the last of an epoch is short, and so is the validation split: 4 windows.
RUN = [
    "--gin_file=debug.gin",
    *bind(
        "run.directory='run'",
        "Train.baselines=[]",
        "Trainer.max_epochs=4",
        "Trainer.max_steps=12",
        "TrajectoryWindows.batch_size=2",
        "TrajectoryWindows.eval_batch_size=1",
        "Trainer.grad_accum_steps=2",
        "Trainer.validate_every_steps=2",
        "Trainer.log_every_steps=1",
        "Trainer.extra_hooks=[@hooks.EMA()]",
        "Checkpoint.every_steps=2",
    ),
]


@pytest.fixture(scope="module")
def whole_by_ranks(runs, tmp_path_factory: pytest.TempPathFactory) -> dict[int, Path]:
    """Per number of ranks the directory of an uninterrupted run."""
    directories = {}
    for ranks in (2, 3):
        directory = tmp_path_factory.mktemp(f"whole{ranks}")
        assert finish(runs, ranks, directory, RUN) == [0] * ranks, outputs(directory)
        directories[ranks] = directory / "run"
    return directories


def finish(runs, number: int, directory: Path, arguments: list[str], **environment: str) -> list[int]:
    """Run some ranks to their end; their exit statuses."""
    return [runs.wait(pid) for pid in runs.ranks(number, directory, arguments, **environment)]


def outputs(directory: Path) -> str:
    return "\n".join(path.read_text() for path in sorted(directory.glob("output*.txt")))


def test_ranks_and_accumulation_share_the_work_without_changing_it(runs, tmp_path: Path) -> None:
    results = []
    for ranks in (1, 2, 4):
        directory = tmp_path / str(ranks)
        assert finish(runs, ranks, directory, [*CALL, "train_50_steps"]) == [0] * ranks, outputs(directory)
        results.append([torch.load(directory / f"rank{r}.pt", weights_only=True) for r in range(ranks)])
    alone = results[0][0]
    assert len(alone["torch.float64"]["losses"]) == 50
    assert alone["torch.float64"]["losses"][-1] < alone["torch.float64"]["losses"][0]
    for each in (result for ranks in results[1:] for result in ranks):
        assert each["torch.float64"]["windows"] == alone["torch.float64"]["windows"]
        torch.testing.assert_close(
            each["torch.float64"]["weights"], alone["torch.float64"]["weights"], rtol=0, atol=1e-9
        )
        assert each["torch.float32"]["losses"] == pytest.approx(alone["torch.float32"]["losses"], rel=1e-4)
        assert each["torch.float64"]["val"] == pytest.approx(alone["torch.float64"]["val"], rel=1e-9)


def train_in_turns(runs, directory: Path, stops: dict[int, int], last: int) -> list[tuple[list[list[int]], int]]:
    """Train up to some steps with so many ranks each, and then to the end. Gives the windows of each start."""
    program = [*CALL, "train_and_change_ranks"]
    for step, ranks in stops.items():
        assert finish(runs, ranks, directory, program, STOP_AT=str(step)) == [0] * ranks, outputs(directory)
    assert finish(runs, last, directory, program) == [0] * last, outputs(directory)
    return [json.loads((directory / f"windows{start}.json").read_text()) for start in range(len(stops) + 1)]


def test_ranks_that_come_and_go_within_an_epoch_see_every_window_once(runs, tmp_path: Path) -> None:
    starts = train_in_turns(runs, tmp_path, {7: 1, 13: 2}, 1)
    seen = [window for windows, _ in starts for step in windows for window in step]
    assert [len(windows) for windows, _ in starts[:2]] == [7, 6]
    assert sorted(seen[:102]) == list(range(102))
    assert sorted(seen[102:]) == list(range(102))


@pytest.mark.parametrize(("before", "after"), [(1, 2), (2, 1), (3, 2)])
def test_a_changed_number_of_ranks_keeps_the_order_of_the_windows(runs, tmp_path, before: int, after: int) -> None:
    (first, _), (second, total_steps) = train_in_turns(runs, tmp_path, {7: before}, after)
    windows = EpochOrder(102, 0, 0)(np.arange(102)).tolist()
    behind = 7 * 2 * before
    assert [sorted(windows[i : i + 2 * before]) for i in range(0, behind, 2 * before)] == first
    rest = [sorted(windows[i : i + 2 * after]) for i in range(behind, len(windows), 2 * after)]
    assert second[: len(rest)] == rest
    assert 0 <= total_steps - (7 + len(second)) <= 1  # of a fraction, the loader's rounding is not known
    assert f"ranks {before} -> {after}" in outputs(tmp_path)
    assert "dropout goes on with new random numbers" in outputs(tmp_path)


def test_unequal_shares_hang_no_rank(runs, tmp_path: Path) -> None:
    assert finish(runs, 3, tmp_path, [*CALL, "validate_unevenly"]) == [0] * 3, outputs(tmp_path)


def test_ranks_that_do_not_share_the_directory_are_refused_before_the_first_step(runs, tmp_path: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        place = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free.getsockname()[1]), "WORLD_SIZE": "2"}
    pids = [runs.start(tmp_path / str(rank), RUN, RANK=str(rank), LOCAL_RANK=str(rank), **place) for rank in range(2)]
    assert [runs.wait(pid) for pid in pids] == [2, 2], outputs(tmp_path / "0")
    assert "the ranks do not share run: each sees another directory there" in outputs(tmp_path / "0")
    assert not list(tmp_path.rglob("*.pt"))


def test_a_gradient_that_is_not_finite_on_one_rank_is_withheld_on_all(runs, tmp_path: Path) -> None:
    assert finish(runs, 2, tmp_path, [*CALL, "skip_a_poisoned_step"]) == [0] * 2, outputs(tmp_path)


def test_rank_0_alone_writes_and_the_test_split_is_scored_once(
    runs, whole_by_ranks: dict[int, Path], tmp_path: Path
) -> None:
    run = whole_by_ranks[2]
    assert len(list(run.glob("events*"))) == 2  # of the training, and of its end
    assert "epoch 1  step 1/12" in (run.parent / "output0.txt").read_text()
    assert (run.parent / "output1.txt").read_text() == ""
    evaluate = ["--gin_file=evaluate.gin", *bind(f"Evaluate.run='{run}'")]
    assert runs(tmp_path, evaluate) == 0, outputs(tmp_path)
    scores = json.loads((run / "evaluation.json").read_text())["model"]
    test = json.loads((run / "result.json").read_text())["test"]["model"]
    assert scores["accuracy"] == test["accuracy"]
    assert scores["nll_bits"] == pytest.approx(test["nll_bits"], rel=1e-6)


@pytest.mark.parametrize(("ranks", "step"), [(2, 3), (3, 6)])
def test_a_rank_that_dies_ends_the_others_and_the_run_goes_on_to_the_same_bits(
    runs, whole_by_ranks, tmp_path, ranks, step
):
    started = time.monotonic()
    sabotage = {f"SABOTAGE_{ranks - 1}": f"emprot_core.training.updates:Updates.step {step} before"}
    statuses = finish(runs, ranks, tmp_path, RUN, **sabotage)
    assert time.monotonic() - started < 60
    assert statuses == [1] * (ranks - 1) + [-signal.SIGKILL]
    assert "error: rank 0 lost touch with another one" in outputs(tmp_path)
    assert "Traceback" not in (tmp_path / "output0.txt").read_text()
    assert finish(runs, ranks, tmp_path, RUN) == [0] * ranks, outputs(tmp_path)
    assert_same_outcome(tmp_path / "run", whole_by_ranks[ranks])


@pytest.mark.parametrize(
    ("on", "sabotage"),
    [
        ([0, 1], "emprot_core.training.loop:train_step 3 terminate"),
        ([1], "emprot_core.training.updates:Updates.step 5 terminate"),
        ([1], "emprot_core.training.trainer:Trainer.validate 2 terminate"),
    ],
)
def test_a_signal_to_any_rank_makes_all_leave_with_a_checkpoint(
    runs, whole_by_ranks, tmp_path, on, sabotage: str
) -> None:
    statuses = finish(runs, 2, tmp_path, RUN, **{f"SABOTAGE_{rank}": sabotage for rank in on})
    assert statuses == [143, 143], outputs(tmp_path)
    result = json.loads((tmp_path / "run" / "result.json").read_text())
    assert result["status"] == "preempted"
    assert list((tmp_path / "run" / "checkpoints").glob(f"step-{result['global_step']:08d}*.pt"))
    assert finish(runs, 2, tmp_path, RUN) == [0, 0], outputs(tmp_path)
    assert_same_outcome(tmp_path / "run", whole_by_ranks[2])


def test_all_ranks_refuse_a_directory_in_use_and_a_changed_config(runs, whole_by_ranks, tmp_path: Path) -> None:
    (tmp_path / "run").symlink_to(whole_by_ranks[2])
    assert finish(runs, 2, tmp_path, [*RUN, *bind("adamw.learning_rate=1e-4")]) == [2, 2]
    assert outputs(tmp_path).count("adamw.learning_rate") == 1
    held = runs.start(tmp_path, RUN, SABOTAGE="emprot_core.jobs.train:Train._is_finished 1 stop")
    runs.wait_until_stopped(held)
    assert finish(runs, 2, tmp_path, RUN) == [2, 2]
    assert "another process is running" in (tmp_path / "output0.txt").read_text()
    os.kill(held, signal.SIGCONT)
    assert runs.wait(held) == 0


def test_a_fraction_of_a_step_starts_the_loader_within_it(tmp_path: Path) -> None:
    make_store(tmp_path / "store", gaps=False)
    gather_ = open_gather(tmp_path / "store")
    first = next(WindowLoader(gather_, batch_size=4).steps(0, Fraction(1, 2), 1))
    found = [window for batch in first for window in batch["window_ids"].tolist()]
    assert sorted(found) == sorted(EpochOrder(len(gather_.windows), 0, 0)(np.arange(2, 6)).tolist())


@pytest.mark.slow
def test_torchrun_is_told_to_leave_and_goes_on_to_the_same_bits(
    whole_by_ranks: dict[int, Path], tmp_path: Path
) -> None:
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2"]
    command = [*launcher, "-m", "emprot_core", *RUN]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    first = subprocess.Popen(command, cwd=tmp_path, env=environment, stderr=subprocess.PIPE, text=True)
    assert any(line.startswith("epoch 1  step 2/") for line in first.stderr)
    first.terminate()
    first.communicate(timeout=60)
    assert json.loads((tmp_path / "run" / "result.json").read_text())["status"] == "preempted"
    second = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert second.returncode == 0, second.stderr
    assert "2 x 1 threads" in second.stderr
    assert_same_outcome(tmp_path / "run", whole_by_ranks[2])


def ranks_of(launcher: int) -> list[int]:
    """The pids of the ranks that torchrun has started."""
    children = [
        pid for task in Path(f"/proc/{launcher}/task").iterdir() for pid in (task / "children").read_text().split()
    ]
    return sorted(int(pid) for pid in children if b"\0RANK=" in b"\0" + Path(f"/proc/{pid}/environ").read_bytes())


@pytest.mark.campaign
def test_ranks_that_torchrun_starts_again_after_a_kill_find_each_other_and_go_on(whole_by_ranks, tmp_path) -> None:
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2", "--max-restarts=3"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    command = [*launcher, "-m", "emprot_core", *RUN]
    told, victims = [], iter([(3, 1), (7, 0)])  # after so many lines about steps, this rank
    next_kill = next(victims)
    with subprocess.Popen(command, cwd=tmp_path, env=environment, stderr=subprocess.PIPE, text=True) as run:
        watchdog = threading.Timer(150, run.kill)
        watchdog.start()
        for line in run.stderr:
            told.append(line)
            if next_kill and sum("  step " in each for each in told) == next_kill[0]:
                os.kill(ranks_of(run.pid)[next_kill[1]], signal.SIGKILL)
                next_kill = next(victims, None)
        watchdog.cancel()
    assert run.returncode == 0, "".join(told)
    assert next_kill is None
    assert_same_outcome(tmp_path / "run", whole_by_ranks[2])

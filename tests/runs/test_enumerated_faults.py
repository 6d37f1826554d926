"""Every single disk operation of a run fails once: the same command goes on to the same bits, or refuses by name."""

import contextlib
import errno
import io
import itertools
import json
import os
import re
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from places import SUPPORT
from run_commands import bind, weights
from runs_in_forks import output

from emprot_core import disk, files
from emprot_core.cli import main

RUN = [
    "--gin_file=debug.gin",
    *bind("Train.baselines=[@baselines.markov()]", "Trainer.max_steps=2", "Checkpoint.every_steps=1"),
    *bind("Trainer.extra_hooks=[]", "TrajectoryWindows.past=0"),
]
NAMES = ["open", "replace", "link", "unlink", "fsync"]
ERRORS = [errno.EIO, errno.ENOSPC, errno.EINVAL, errno.ENOSYS]


@contextlib.contextmanager
def failing(name: str, number: int, code: int) -> Iterator[list[int]]:
    """Let the number-th call of os.<name> fail; the list counts the calls."""
    function, calls = getattr(os, name), [0]

    def counted(*arguments, **named):
        calls[0] += 1
        if calls[0] == number:
            raise OSError(code, os.strerror(code))
        return function(*arguments, **named)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, name, counted)
        yield calls


def run_in(folder: Path) -> tuple[int, str]:
    folder.mkdir(exist_ok=True)
    before = os.getcwd()
    os.chdir(folder)
    disk._WARNED.clear()
    try:
        with contextlib.redirect_stderr(io.StringIO()) as told:
            return main(RUN), told.getvalue()
    finally:
        os.chdir(before)


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("whole")
    assert run_in(folder)[0] == 0
    return folder / "runs" / "debug"


def same(run: Path, whole: Path) -> bool:
    metrics = [(each / "metrics.jsonl").read_bytes() for each in (run, whole)]
    return torch.equal(weights(str(run)), weights(str(whole))) and metrics[0] == metrics[1]


def check_failures(name: str, codes: list[int], whole: Path, tmp_path: Path) -> None:
    """Let each call of os.<name> fail with each error, and start the run again."""
    with failing(name, 0, 0) as calls:
        assert run_in(tmp_path / "count")[0] == 0
    assert calls[0] >= 2
    for number, code in itertools.product(range(1, calls[0] + 1), codes):
        folder = tmp_path / f"{number}-{code}"
        with failing(name, number, code):
            status, told = run_in(folder)
        assert status in (0, 1), (number, told)
        assert "Traceback" not in told, (number, told)
        assert status == 0 or "error: " in told
        status, told = run_in(folder)
        assert status == 0, (number, told)
        assert same(folder / "runs" / "debug", whole), (number, code, told)


@pytest.mark.slow
def test_a_rename_that_fails_at_any_moment_costs_nothing(whole: Path, tmp_path: Path) -> None:
    check_failures("replace", [errno.EIO], whole, tmp_path)


@pytest.mark.campaign
@pytest.mark.parametrize("name", NAMES)
def test_whatever_operation_fails_the_next_start_ends_with_the_same_bits(
    name: str, whole: Path, tmp_path: Path
) -> None:
    check_failures(name, ERRORS, whole, tmp_path)


@pytest.mark.campaign
@pytest.mark.parametrize("name", NAMES)
def test_a_run_killed_before_any_operation_goes_on_to_the_same_bits(
    name: str, runs, whole: Path, tmp_path: Path
) -> None:
    with failing(name, 0, 0) as calls:
        assert run_in(tmp_path / "count")[0] == 0
    for number in range(1, calls[0] + 1):
        folder = tmp_path / str(number)
        status = runs(folder, RUN, SABOTAGE=f"os:{name} {number} before")
        assert status in (-signal.SIGKILL, 0), (number, output(folder))  # the fork opens a few files less
        assert runs(folder, RUN) == 0, (number, output(folder))
        assert same(folder / "runs" / "debug", whole), (number, output(folder))


POWER = ["--call", str(SUPPORT / "power.py"), "main"]


def without_power(runs, folder: Path, number: int, whole: Path, **environment: str) -> str:
    """Let the power fail before the number-th operation, and start the run again. Gives what went wrong."""
    status = runs(folder, POWER, POWER=str(number), ARGUMENTS=json.dumps(RUN), **environment)
    saved = Path(f"{folder}.saved")
    promised = int(saved.read_text()) if saved.exists() else 0
    if status != -signal.SIGKILL:
        return f"status {status} where the power should fail" if number == 1 else "done"
    if runs(folder, RUN) != 0:
        return output(folder)
    found = re.search(r"going on from .*\(step (\d+)\)|(is finished)", output(folder))
    if promised and not (found and (found[2] or int(found[1]) >= promised)):
        return f"step {promised} was saved and is lost: {output(folder)}"
    return "" if same(folder / "runs" / "debug", whole) else "other bits"


def check_power_failures(runs, whole: Path, tmp_path: Path, step: int) -> int:
    """Let the power fail before each step-th operation. Gives the number of operations that were tried."""
    for tried, number in enumerate(itertools.count(1, step)):
        wrong = without_power(runs, tmp_path / str(number), number, whole)
        if wrong == "done":
            return tried
        assert not wrong, (number, wrong)
    raise AssertionError


@pytest.mark.slow
def test_a_power_failure_loses_no_step_that_was_saved(runs, whole: Path, tmp_path: Path) -> None:
    assert check_power_failures(runs, whole, tmp_path, step=23) >= 5


@pytest.mark.campaign
def test_no_power_failure_at_any_operation_loses_a_step_that_was_saved(runs, whole: Path, tmp_path: Path) -> None:
    assert check_power_failures(runs, whole, tmp_path, step=1) >= 100


@pytest.mark.slow
@pytest.mark.parametrize("layer", ["files", "directories"])
def test_a_file_layer_without_a_sync_is_caught_by_the_power_failures(
    layer: str, runs, whole: Path, tmp_path: Path
) -> None:
    tried = (without_power(runs, tmp_path / str(n), n, whole, WITHOUT=layer) for n in range(30, 200, 20))
    assert next(filter(None, tried)) != "done"


def test_a_file_layer_without_a_hash_check_is_caught(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    files.write_hashed_json(path, {"a": 1})
    path.write_text(path.read_text().replace("1", "2", 1))
    with pytest.raises(files.Damaged):
        files.read_hashed_json(path)

"""Every single disk operation of a run fails once: the same command goes on to the same bits, or refuses by name."""

import contextlib
import errno
import io
import itertools
import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from run_commands import bind, weights
from runs_in_forks import output

from emprot_core import disk
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
    disk._warn_once.cache_clear()
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


@pytest.mark.parametrize("removed", ["fsync", "hash"])
def test_a_file_layer_that_skips_a_sync_or_a_hash_is_noticed(removed: str, tmp_path: Path, monkeypatch) -> None:
    """What the tests above rest on: each write syncs a file and its directory, and each read looks at the hash."""
    from emprot_core import files

    synced: list[str] = []
    sync: Callable[[int], None] = os.fsync

    def counted(descriptor: int) -> None:
        synced.append(os.readlink(f"/proc/self/fd/{descriptor}"))
        sync(descriptor)

    monkeypatch.setattr(os, "fsync", counted)
    path = tmp_path / "a.json"
    if removed == "fsync":
        files.write_hashed_json(path, {"a": 1})
        assert [Path(name).name for name in synced] == [".a.json.partial", tmp_path.name]
        return
    files.write_hashed_json(path, {"a": 1})
    path.write_text(path.read_text().replace("1", "2", 1))
    with pytest.raises(files.Damaged):
        files.read_hashed_json(path)

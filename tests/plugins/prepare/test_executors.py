"""Prepare over the workers of an executor: the same store, whichever worker is killed."""

import sys
from collections.abc import Iterator
from concurrent import futures
from contextlib import contextmanager
from pathlib import Path

import pytest
from emprot_plugins.executors import dask
from emprot_plugins.prepare.prepare import Prepare
from preparing import LengthReader, prepare, run, write_files

from emprot_core import registry
from emprot_core.data.store import TrajectoryStore
from emprot_core.errors import EmprotError

DEADLY_MODULE = """
import os, signal
from pathlib import Path
import numpy as np
from emprot_core.contracts import Structure

class Deadly:
    def read(self, path):
        text = path.read_text()
        marker = path.with_suffix(".killed")
        if text == "once" and not marker.exists() or text == "always":
            marker.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        ids = np.full((300, 40), len(text))
        return Structure(np.zeros((300, 40, 0, 3), np.float32), np.zeros(40, int), cluster_ids=ids)
"""


class Threads:
    """Two threads; a task of each name in `lost` fails so many times as if its worker had gone."""

    def __init__(self, **lost: int) -> None:
        self.lost, self.starts = dict(lost), 0

    @contextmanager
    def start(self) -> Iterator[futures.Executor]:
        self.starts += 1
        with _Losing(2) as threads:
            threads.lost = self.lost
            yield threads


class _Losing(futures.ThreadPoolExecutor):
    lost: dict[str, int]

    def submit(self, function, /, *arguments):
        name = arguments[0][0].replace("/", "_")
        if self.lost.get(name, 0):
            self.lost[name] -= 1
            return super().submit(_raise, futures.BrokenExecutor("the worker is gone"))
        return super().submit(function, *arguments)


class Buggy(LengthReader):
    def read(self, path: Path):
        raise KeyError("missing")


def _raise(error: Exception) -> None:
    raise error


@pytest.fixture
def files(tmp_path: Path) -> Path:
    return write_files(tmp_path)


def test_an_executor_gives_the_store_of_this_process_and_a_lost_task_runs_again(files: Path) -> None:
    run(prepare(files))
    whole = TrajectoryStore(files.parent / "out" / "parity").digest
    (files.parent / "out").rename(files.parent / "whole")
    executor = Threads(apo_r1=1, holo_r1=1)
    run(prepare(files, executor=executor))
    assert TrajectoryStore(files.parent / "out" / "parity", verify=True).digest == whole
    assert executor.starts == 3


def test_a_task_that_is_lost_alone_too_is_named_with_what_the_executor_says(files: Path) -> None:
    message = r"apo/r2: the process that read it ended without a word: .*\(BrokenExecutor: the worker is gone\)"
    with pytest.raises(EmprotError, match=message):
        run(prepare(files, executor=Threads(apo_r2=2)))
    run(prepare(files, executor=Threads(apo_r2=2), on_error="skip"))
    assert TrajectoryStore(files.parent / "out" / "parity").index["name"].tolist() == ["apo/r1", "holo/r1"]


def test_a_bad_file_is_refused_and_a_bug_in_a_worker_keeps_its_traceback(files: Path) -> None:
    (files / "holo" / "r1.txt").write_text("")
    with pytest.raises(EmprotError, match=r"r1\.txt is empty; Prepare\.on_error = 'skip'"):
        run(prepare(files, executor=Threads()))

    tokenizers, output = prepare(files).tokenizers, str(files.parent / "buggy")
    with pytest.raises(KeyError, match="missing") as caught:
        run(Prepare(str(files / "apo" / "*.txt"), Buggy(), tokenizers, output, executor=Threads()))
    assert "in the worker:\nTraceback" in caught.value.__notes__[0]
    assert "KeyError: 'missing'" in caught.value.__notes__[0]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"address": "tcp://node7:8786", "num_workers": 2}, "so its workers run already; leave jobqueue, num_workers"),
        ({"num_workers": -1}, r"dask\.num_workers is -1, expected a number of workers, or 0 for one a core"),
    ],
)
def test_options_of_dask_that_contradict_each_other_are_refused(options: dict, message: str) -> None:
    with pytest.raises(EmprotError, match=message):
        dask(**options)


def test_without_dask_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(ModuleNotFoundError, match=r"executors\.dask needs distributed; pip install 'emprot\[dask\]'"):
        dask().start().__enter__()


def test_dask_computes_in_workers_that_it_starts() -> None:
    with dask(num_workers=1, options={"processes": False}).start() as executor:
        assert executor.submit(pow, 2, 5).result() == 32


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"jobqueue": "SlurmCluster"}, r"dask\.jobqueue is 'SlurmCluster', expected one of .*mean SLURMCluster\?"),
        ({"address": "nowhere"}, "no Dask scheduler answers at nowhere .*start one with `dask scheduler`"),
    ],
)
def test_workers_that_dask_does_not_find_are_refused(options: dict, message: str) -> None:
    with pytest.raises(EmprotError, match=message), dask(**options).start():
        pass


def write_deadly(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *texts: str):
    """A job over files of these texts, by the name of its output and its executor."""
    (tmp_path / "deadly_reader.py").write_text(DEADLY_MODULE)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path), prepend=":")
    import deadly_reader  # type: ignore[import-not-found]

    for number, text in enumerate(texts):
        (tmp_path / f"t{number}.txt").write_text(text)

    def job(output: str, executor=None, **options) -> Prepare:
        tokenizer = registry.get("tokenizer", "precomputed")(num_clusters=9)
        source, target = str(tmp_path / "*.txt"), str(tmp_path / output)
        return Prepare(source, deadly_reader.Deadly(), [tokenizer], target, executor=executor, **options)

    return job


@pytest.mark.slow
def test_a_worker_of_dask_that_is_killed_costs_no_trajectory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    job = write_deadly(tmp_path, monkeypatch, "0", "11", "once", "333")
    run(job("spread", dask(num_workers=2, options={"silence_logs": 50})))
    assert (tmp_path / "t2.killed").exists()
    run(job("alone"))
    stores = [TrajectoryStore(tmp_path / name / "precomputed", verify=True) for name in ("spread", "alone")]
    assert stores[0].digest == stores[1].digest


@pytest.mark.campaign
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # dask-jobqueue waits for no process
def test_of_many_killed_workers_none_costs_a_trajectory_and_one_that_kills_them_all_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Six of 40 trajectories kill the job of their worker once; then one kills every worker."""
    job = write_deadly(
        tmp_path, monkeypatch, *["once" if number % 7 == 3 else "1" * (number % 8) for number in range(40)]
    )
    options = {"cores": 1, "memory": "2GB", "processes": 1, "worker_extra_args": ["--no-dashboard"]}
    run(job("spread", dask(jobqueue="LocalCluster", num_workers=3, options={**options, "silence_logs": 50})))
    assert len(list(tmp_path.glob("*.killed"))) == 6
    run(job("alone"))
    stores = [TrajectoryStore(tmp_path / name / "precomputed", verify=True) for name in ("spread", "alone")]
    assert stores[0].digest == stores[1].digest
    (tmp_path / "t3.txt").write_text("always")
    run(job("skipped", dask(num_workers=2, options={"silence_logs": 50}), on_error="skip"))
    skipped = TrajectoryStore(tmp_path / "skipped" / "precomputed").index["name"].tolist()
    assert len(skipped) == 39
    assert "t3" not in skipped
    with pytest.raises(EmprotError, match=r"no Dask scheduler answers at tcp://127\.0\.0\.1:9 .*start one with"):
        run(job("wrong", dask(address="tcp://127.0.0.1:9")))

"""Prepare in several processes: the same store, whoever is killed."""

import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import emprot_plugins.prepare.prepare  # noqa: F401  registers the job
import pytest
from emprot_plugins.prepare.prepare import Prepare
from preparing import run

from emprot_core import registry
from emprot_core.data.store import TrajectoryStore

WORKER_MODULE = """
import os, signal, time
from pathlib import Path
import numpy as np
from emprot_core.contracts import Structure

class Fragile:
    def read(self, path):
        text = Path(path).read_text()
        with Path(path).with_name("read.log").open("a") as log:
            log.write(Path(path).stem)
        if text == "kill":
            time.sleep(3)
            os.kill(os.getpid(), signal.SIGKILL)
        ids = np.full((3, 4), int(text))
        return Structure(np.zeros((3, 4, 0, 3), np.float32), np.zeros(4, int), cluster_ids=ids)
"""


@pytest.mark.slow
def test_workers_give_the_same_store_and_one_that_is_killed_costs_only_its_own_trajectory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "fragile_reader.py").write_text(WORKER_MODULE)
    monkeypatch.syspath_prepend(tmp_path)
    import fragile_reader  # type: ignore[import-not-found]

    for name, text in (("a", "0"), ("b", "1"), ("c", "kill"), ("d", "2")):
        (tmp_path / f"{name}.txt").write_text(text)

    def job(output: str, num_workers: int) -> Prepare:
        tokenizer = registry.get("tokenizer", "precomputed")(num_clusters=3)
        source, target = str(tmp_path / "*.txt"), str(tmp_path / output)
        return Prepare(source, fragile_reader.Fragile(), [tokenizer], target, num_workers=num_workers)

    with pytest.raises(ValueError, match=r"c: the process that read it ended without a word: the file is damaged"):
        run(job("parallel", 2))
    kept = list((tmp_path / "parallel" / ".parts").glob("*.json"))
    (tmp_path / "c.txt").write_text("1")
    (tmp_path / "read.log").write_text("")
    run(job("parallel", 2))
    assert kept
    assert len((tmp_path / "read.log").read_text()) == 4 - len(kept)
    run(job("serial", 1))
    stores = [TrajectoryStore(tmp_path / name / "precomputed") for name in ("parallel", "serial")]
    assert stores[0].digest == stores[1].digest


ORPHAN_MODULE = """
import os, sys, time
from pathlib import Path
from emprot_plugins.prepare.workers import run_in_workers

def work(folder, name):
    (folder / f"{name}.pid").write_text(str(os.getpid()))
    time.sleep(60)

if __name__ == "__main__":
    list(run_in_workers(work, Path(sys.argv[1]), [("a",), ("b",)], 2))
"""


@pytest.mark.slow
def test_workers_end_when_their_parent_is_killed(tmp_path: Path) -> None:
    (tmp_path / "orphans.py").write_text(ORPHAN_MODULE)
    parent = subprocess.Popen([sys.executable, str(tmp_path / "orphans.py"), str(tmp_path)])

    def workers() -> list[int]:
        return [int(path.read_text()) for path in tmp_path.glob("*.pid") if path.read_text()]

    try:
        assert eventually(lambda: len(workers()) == 2)
    finally:
        parent.kill()
        parent.wait()
    assert eventually(lambda: not any(is_alive(pid) for pid in workers()))


def eventually(condition: Callable[[], bool], timeout_s: float = 40.0) -> bool:
    end = time.monotonic() + timeout_s
    while not condition() and time.monotonic() < end:
        time.sleep(0.1)
    return condition()


def is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    stat = Path(f"/proc/{pid}/stat")  # one that ended and was not waited for counts as ended
    return not stat.is_file() or stat.read_text().rpartition(")")[2].split()[0] != "Z"

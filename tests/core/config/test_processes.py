"""What a config builds crosses to other processes: pickle, cloudpickle, and the workers of a DataLoader."""

import os
import pickle
import subprocess
import sys
import time
from pathlib import Path
from types import ModuleType

import cloudpickle
import pytest
from torch.utils.data import DataLoader

from emprot_core.config import load


@pytest.mark.parametrize("pickler", [pickle, cloudpickle], ids=["pickle", "cloudpickle"])
@pytest.mark.parametrize("key", ["Trainer.optimizer", "Trainer.hooks", "Train.data", "Train.baselines", "run.job"])
def test_everything_that_base_builds_pickles(pickler: ModuleType, key: str, tmp_path: Path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    built = load(["base.gin"]).build(key)
    assert type(pickle.loads(pickler.dumps(built))) is type(built)


def test_trap_6_a_component_of_a_script_cloudpickles_with_its_bindings(tmp_path: Path):
    (tmp_path / "script.py").write_text(
        "import sys, cloudpickle\nfrom emprot_core.config import load\nfrom emprot_core.registry import register\n"
        "@register('loss')\nclass Mine:\n    def __init__(self, power: int = 1):\n        self.power = power\n"
        "config = load(['base.gin'], ['Trainer.loss = @losses.Mine()', 'Mine.power = 3'])\n"
        "sys.stdout.buffer.write(cloudpickle.dumps(config.build('Trainer.loss')))\n"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    child = subprocess.run([sys.executable, "script.py"], cwd=tmp_path, capture_output=True, env=environment)
    assert child.returncode == 0, child.stderr.decode()
    assert pickle.loads(child.stdout).power == 3


@pytest.mark.parametrize(("start", "limit_s"), [("fork", 10), ("spawn", 60)])  # a spawned worker imports torch first
def test_trap_7_a_worker_sees_the_bindings_and_its_exception_surfaces(toy: ModuleType, start: str, limit_s: float):
    """The toy's data raise an OSError that names the bound path."""
    Path("base.gin").write_text(toy.TRAINING + "Train.data = @Frames()\nFrames.path = 'the bound path'\n")
    frames = load(["base.gin"]).build("Train.data")
    batches = iter(DataLoader(frames, num_workers=1, multiprocessing_context=start, timeout=limit_s))
    begin = time.perf_counter()
    with pytest.raises(OSError, match="cannot read frame 0 of the bound path"):
        next(batches)
    assert time.perf_counter() - begin < limit_s
    batches._shutdown_workers()  # left to the garbage collector, it waits 5 s for a worker that waits for it

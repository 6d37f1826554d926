"""What can be done with the shipped gin files: feed them back, change one thing, read them fast."""

import statistics
import time
from pathlib import Path

import pytest

from emprot_core import registry
from emprot_core.config import load, load_text

FILES = sorted(path.name for path in (Path(__file__).parent.parent / "gin_configs").glob("*.gin"))


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_every_built_in_plugin_imports():
    assert registry.failures() == {}


@pytest.mark.parametrize("name", FILES)
def test_a_shipped_file_feeds_back(name: str):
    config = load([name], ["run.directory = 'x'"])
    again = load_text(config.text())
    assert again.digest() == config.digest()
    assert again.flat().keys() == config.flat().keys() - {"run.directory"}


@pytest.mark.parametrize(
    "binding",
    [
        "Trainer.optimizer = @optimizers.sgd",
        "Trainer.scheduler = @schedulers.constant",
        "Trainer.scheduler = None",
        "Trainer.hooks = []",
        "Trainer.hooks = [@hooks.Progress()]",
        "Train.baselines = []",
        "models.ProteinTransformerClassificationOnly.attention = @attention.einsum",
        "TrajectoryWindows.split = @splits.ByGroup()",
    ],
)
def test_one_binding_over_base_never_trips_the_unused_check(binding: str):
    load(["base.gin"], [binding])


def test_loading_and_checking_base_takes_less_than_50_ms():
    durations = []
    for _ in range(5):
        start = time.perf_counter()
        load(["base.gin"])
        durations.append(time.perf_counter() - start)
    assert statistics.median(durations) < 0.05

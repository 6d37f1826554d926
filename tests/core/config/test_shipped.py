"""What can be done with the shipped gin files: feed them back, change one thing, read them fast."""

import time
from pathlib import Path

import pytest
from places import GIN_CONFIGS

from emprot_core import registry
from emprot_core.config import ConfigError, load, load_text
from emprot_core.config.types import takers
from emprot_core.config.values import use_of

FILES = sorted(path.name for path in GIN_CONFIGS.glob("*.gin"))


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


def codes(override: str) -> set[str]:
    """Codes of the faults of base.gin with an override."""
    try:
        load(["base.gin"], overrides=[override])
    except ConfigError as error:
        return {fault.code for fault in error.faults}
    return set()


def slots() -> list[str]:
    """An override of base.gin for every registered component and every place of base.gin that takes it."""
    holders = dict.fromkeys(component.entry for component in load(["base.gin"]).tree.built)
    return [
        f"{place}=[{reference}]" if in_list else f"{place}={reference}"
        for entry in registry.entries()
        for reference in [use_of(entry)]
        for place, in_list in takers(entry, holders)
    ]


@pytest.mark.parametrize("override", [*slots(), "Trainer.scheduler=None", "Trainer.hooks=[]", "Train.baselines=[]"])
def test_one_binding_over_base_never_trips_the_unused_check(override: str):
    """A component may need values of its own; what base.gin binds for the one that it displaces is no fault."""
    assert codes(override) <= {"missing"}


def test_a_model_of_ones_own_replaces_that_of_base(own_registry: None):
    Path("mine.py").write_text("from emprot_core.registry import register\n@register('model')\nclass Mine:\n    pass\n")
    config = load(["base.gin"], plugins=["mine"], overrides=["Trainer.model=@models.Mine()"])
    assert type(config.build("Trainer.model")).__name__ == "Mine"
    assert "ProteinTransformer" not in config.text()


def test_loading_and_checking_base_takes_less_than_50_ms():
    """Processor time, so that a busy machine does not count."""
    durations = []
    for _ in range(5):
        start = time.process_time()
        load(["base.gin"])
        durations.append(time.process_time() - start)
    assert min(durations) < 0.05


def test_what_tells_a_config_from_the_shipped_ones_is_what_the_user_bound(tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert load(["base.gin"]).own() == {"gin_file": "base.gin"}
    (tmp_path / "mine.gin").write_text("include 'base.gin'\nadamw.learning_rate = 1e-3\n")
    config = load(["mine.gin"], ["run.seed = 3"], overrides=["HISTORY=8", "run.directory=runs/x"])
    own = config.own()
    assert own["gin_file"] == "mine.gin"
    assert own["optimizers.adamw.learning_rate"] == "0.001"
    assert own["run.seed"] == "3"
    assert own["data.TrajectoryWindows.history"] == "8"
    assert "run.directory" not in own
    assert "optimizers.adamw.weight_decay" not in own

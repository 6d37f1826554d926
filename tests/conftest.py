"""Fixtures that several test files share."""

import os
import signal
import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any

import gin
import pytest
import torch
from places import SUPPORT
from runs_in_forks import RUN, Runs, output
from small_stores import write_first_store, write_second_store

from emprot_core import registry
from emprot_core.batch import Batch
from emprot_core.config import ConfigError, Fault, load
from emprot_core.hooks.base import Hook
from emprot_core.training import Trainer


def pytest_configure(config: pytest.Config) -> None:
    """Only the tests that are marked cuda see a CUDA device: the others fork, which CUDA does not survive."""
    if "cuda" not in config.getoption("markexpr"):
        os.environ["CUDA_VISIBLE_DEVICES"] = ""


@pytest.fixture
def in_an_empty_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.fixture(scope="module")
def first_store(tmp_path_factory: pytest.TempPathFactory) -> str:
    return write_first_store(tmp_path_factory.mktemp("data") / "store")


@pytest.fixture(scope="module")
def second_store(tmp_path_factory: pytest.TempPathFactory) -> str:
    return write_second_store(tmp_path_factory.mktemp("data") / "second")


@pytest.fixture
def make_batch() -> Callable[..., Batch]:
    """A factory of small valid batches of random IDs: B = 4, K = 5, F = 3, N = 7, C = 11 by default."""

    def make(
        seed: int = 0,
        num_windows: int = 4,
        history: int = 5,
        horizon: int = 3,
        num_residues: int = 7,
        num_clusters: int = 11,
        missing: bool = False,
    ) -> Batch:
        """`missing`: a tenth of all IDs is -1."""
        generator = torch.Generator().manual_seed(seed)

        def ids(num_frames: int) -> torch.Tensor:
            shape = (num_windows, num_frames, num_residues)
            drawn = torch.randint(0, num_clusters, shape, generator=generator)
            lost = torch.rand(shape, generator=generator) < (0.1 if missing else 0.0)
            return drawn.masked_fill(lost, -1)

        inputs, targets = ids(history), ids(horizon)
        return {
            "input_cluster_ids": inputs,
            "times": torch.zeros(num_windows, history),
            "sequence_lengths": torch.full((num_windows,), num_residues),
            "history_mask": inputs >= 0,
            "residue_mask": torch.ones(num_windows, num_residues, dtype=torch.bool),
            "future_cluster_ids": targets,
            "future_step_mask": torch.ones(num_windows, horizon, dtype=torch.bool),
        }

    return make


@pytest.fixture
def make_trainer() -> Callable[..., Trainer]:
    """A factory of trainers of a tiny model (D = 16, one layer, dropout) with hooks of one's choice."""

    def make(*hooks: Hook, dtype: torch.dtype = torch.float32, dropout: float = 0.1, **options: Any) -> Trainer:
        torch.manual_seed(0)
        model = registry.get("model", "ProteinTransformerClassificationOnly")(
            d_embed=16, num_heads=2, num_layers=1, future_horizon=3, num_clusters=11, dropout=dropout
        )
        return Trainer(
            model.to(dtype),
            options.pop("loss", None) or registry.get("loss", "MaskedCrossEntropy")(),
            options.pop("optimizer", None) or partial(registry.get("optimizer", "adamw"), learning_rate=1e-2),
            registry.get("scheduler", "cosine_with_warmup"),
            metrics=[registry.get("metric", name)() for name in ("TokenAccuracy", "HorizonNLL")],
            hooks=hooks,
            **options,
        )

    return make


@pytest.fixture
def own_registry(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """What a test registers, in an empty current directory, is forgotten after: all state of gin and of ours is
    restored."""
    registry.load_plugins()
    for name in ("_REGISTRY", "_CONSTANTS"):  # what plain gin files there
        fresh = gin.selector_map.SelectorMap()
        for selector, filed in getattr(gin.config, name).items():
            fresh[selector] = filed
        monkeypatch.setattr(gin.config, name, fresh)
    for name in ("_entries", "_failures", "_plugins"):
        monkeypatch.setattr(registry, name, getattr(registry, name).copy())
    monkeypatch.setattr(sys, "path", [str(SUPPORT), *sys.path])
    monkeypatch.chdir(tmp_path)
    before = set(sys.modules)
    yield
    for name in set(sys.modules) - before:
        file = getattr(sys.modules[name], "__file__", None) or ""
        if Path(file).is_relative_to(tmp_path) or Path(file).parent == SUPPORT:
            del sys.modules[name]


@pytest.fixture
def empty_registry(own_registry: None) -> None:
    """The same, of a registry without components."""
    for names in (registry._entries, registry._failures, registry._plugins):
        names.clear()


@pytest.fixture
def toy(empty_registry: None) -> ModuleType:
    """The components of tests/support/toy_plugin.py, and no others."""
    registry.import_plugin("toy_plugin")
    return sys.modules["toy_plugin"]


@pytest.fixture
def faults_of(toy: ModuleType) -> Callable[[str], list[Fault]]:
    """Faults of the sound config followed by `text`; its lines count from 1."""

    def find(text: str) -> list[Fault]:
        Path("base.gin").write_text(toy.TRAINING)
        Path("bad.gin").write_text(text)
        try:
            load(["base.gin", "bad.gin"])
        except ConfigError as error:
            return list(error.faults)
        return []

    return find


@pytest.fixture(scope="session")
def runs() -> Iterator[Runs]:
    """Starts runs at once: from one process that has everything imported."""
    runs = Runs()
    yield runs
    runs.close()


@pytest.fixture(scope="session")
def whole(runs: Runs, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The directory of an uninterrupted RUN."""
    directory = tmp_path_factory.mktemp("whole")
    assert runs(directory, RUN) == 0, output(directory)
    return directory / "run"


@pytest.fixture(scope="session")
def killed(runs: Runs, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The directory of a RUN that was killed in its 12th step."""
    directory = tmp_path_factory.mktemp("killed")
    assert runs(directory, RUN, SABOTAGE="emprot_core.training.updates:Updates.step 12 before") == -signal.SIGKILL
    return directory / "run"

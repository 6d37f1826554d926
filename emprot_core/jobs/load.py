"""Loads a run, finished or unfinished, into Python."""

import json
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

from torch import Tensor, nn

from emprot_core.checkpoint import CheckpointError, CheckpointStore
from emprot_core.checkpoint.names import BEST, FINAL
from emprot_core.checkpoint.store import State
from emprot_core.config import Config, load_text
from emprot_core.contracts import Data, Vocabulary
from emprot_core.files import read_hashed_json
from emprot_core.jobs.stores import Record, find_stores


class LoadedRun(NamedTuple):
    """What `emprot_core.load_run` gives; the model is on the CPU, in evaluation mode."""

    model: nn.Module
    vocabulary: Vocabulary
    config: Config


def load_run(directory: str | Path, stores: Sequence[str | Path] = ()) -> LoadedRun:
    """The model of a run with its best weights (or else its last), its vocabulary and its config.

    Args:
        stores: where else the stores of the run may lie: stores, or folders of stores.

    Raises:
        CheckpointError: there is no run, or no readable checkpoint.
        StoreError: the run's data are no longer where they were.
    """
    run = StoredRun(directory)
    return LoadedRun(run.model(), run.data(stores).vocabulary, run.config)


class StoredRun:
    """A run on the disk: its config, its weights, and its data wherever they lie now.

    Raises:
        CheckpointError: there is no run, or no readable checkpoint.
    """

    def __init__(self, directory: str | Path):
        self.directory = Path(directory)
        path = self.directory / "config.gin"
        if not path.is_file():
            what = "holds no run: it has no config.gin" if self.directory.is_dir() else "does not exist"
            raise CheckpointError(f"{self.directory} {what}; give the directory of a run")
        self.config = load_text(path.read_text(), str(path))
        self.state = _best_state(CheckpointStore(self.directory / "checkpoints"))

    def model(self) -> nn.Module:
        """The model with its best weights, in evaluation mode."""
        model = self.config.build("Trainer.model")
        model.load_state_dict(best_weights(self.state))
        return model.eval()

    def data(self, stores: Sequence[str | Path] = (), **given: Any) -> Data:
        """The data of the run, on its own stores unless `given` names others.

        Args:
            stores: where else its stores may lie.
            given: arguments of the data component, in the place of what the config binds.
        """
        found = {} if "store" in given else find_stores(self.stores, self.directory, stores)
        return self.config.build("Train.data", **found, **given)

    @property
    def stores(self) -> Record:
        """What the run kept about its stores; nothing, if its data are read from none."""
        return self._kept.get("stores", {})

    @property
    def input_frames(self) -> int:
        """T, the frames of a batch.

        Raises:
            CheckpointError: the run was made by an older version.
        """
        if "input_frames" not in self._kept:
            raise CheckpointError(f"{self.directory}/settings.json has no input_frames: an older version made the run")
        return self._kept["input_frames"]

    @cached_property
    def _kept(self) -> dict[str, Any]:
        path = self.directory / "settings.json"
        return read_hashed_json(path) if path.is_file() else {}

    @property
    def fitted_for(self) -> str:
        """What the kept baselines were fitted for: the digests of the config and the data."""
        return f"{self.state['config_digest']} {self.state['data_digest']}"

    @property
    def result(self) -> dict[str, Any] | None:
        """The result.json of a run that is finished."""
        path = self.directory / "result.json"
        result = json.loads(path.read_text()) if path.is_file() else {}
        return result if result.get("status") == "finished" else None


def best_weights(state: State) -> dict[str, Tensor]:
    """The weights that validation used: averaged ones if the run kept them, else those of the model."""
    return state.get("evaluation_state_dict") or state["model_state_dict"]


def _best_state(checkpoints: CheckpointStore) -> State:
    names = checkpoints.names()
    for name in (BEST, FINAL):
        if name in names:
            return checkpoints.load(name)
    newest = checkpoints.newest_valid()
    if newest is None:
        raise CheckpointError(f"{checkpoints.directory} has no valid checkpoint; train the run first")
    return newest[1]

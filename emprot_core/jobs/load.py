"""Loads a run, finished or unfinished, into Python."""

from pathlib import Path
from typing import NamedTuple

from torch import Tensor, nn

from emprot_core.checkpoint import CheckpointError, CheckpointStore
from emprot_core.checkpoint.names import BEST, FINAL
from emprot_core.checkpoint.store import State
from emprot_core.config import Config, load_text
from emprot_core.contracts import Vocabulary


class LoadedRun(NamedTuple):
    """What `emprot_core.load_run` gives; the model is on the CPU, in evaluation mode."""

    model: nn.Module
    vocabulary: Vocabulary
    config: Config


def load_run(directory: str | Path) -> LoadedRun:
    """The model of a run with its best weights (or else its last), its vocabulary and its config.

    Raises:
        CheckpointError: there is no run, or no readable checkpoint.
        StoreError: the run's data are no longer where its config says.
    """
    directory = Path(directory)
    path = directory / "config.gin"
    if not path.is_file():
        what = "holds no run: it has no config.gin" if directory.is_dir() else "does not exist"
        raise CheckpointError(f"{directory} {what}; give the directory of a run")
    config = load_text(path.read_text(), str(path))
    model = config.build("Trainer.model")
    model.load_state_dict(best_weights(_best_state(CheckpointStore(directory / "checkpoints"))))
    return LoadedRun(model.eval(), config.build("Train.data").vocabulary, config)


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

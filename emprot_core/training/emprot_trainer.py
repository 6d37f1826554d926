"""EMPROTTrainer: the experiment of seed.gin, configured by one flat mapping and fed by any iterable of batches."""

import copy
import math
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor, nn

from emprot_core.batch import Batch
from emprot_core.checkpoint import load_checkpoint
from emprot_core.config import Config, ConfigError, load
from emprot_core.config.faults import did_you_mean, nearest
from emprot_core.contracts import UsesClusterLookup
from emprot_core.distributed import find_device
from emprot_core.errors import EmprotError
from emprot_core.hooks.base import Hook, RunInfo, TrainerView
from emprot_core.randomness import seed_everything, use_deterministic_algorithms
from emprot_core.training.loop import score
from emprot_core.training.sums import MetricSums
from emprot_core.training.trainer import Trainer

_EXPERIMENT = "emprot_gin_configs:seed.gin"
_SWITCHES = {"use_scheduler": "scheduler = None", "use_amp": "precision = 'float32'"}
"""Keys whose value is True or False, each with the binding that False adds to the experiment."""


class EMPROTTrainer:
    """Trains the model of seed.gin with masked cross-entropy. Each method also works on its own."""

    def __init__(self, config: Mapping[str, Any], cluster_lookup: str | Path | np.ndarray | Tensor | None = None):
        """
        Args:
            config: keys and defaults are those of seed.gin, plus use_amp and use_scheduler (default True). num_clusters
                is required.
            cluster_lookup: (C, E) cluster centroids that the embedding starts from, or the path of their .npy file.

        Raises:
            EmprotError: the config or the lookup is wrong.
        """
        experiment = _load_experiment(config)
        seed = experiment.get("run.seed")
        device = find_device(experiment.get("run.device"), "device")
        use_deterministic_algorithms(device, deterministic=False)
        seed_everything(seed)
        self.config = {**experiment.macros(), **dict.fromkeys(_SWITCHES, True), **config}
        self._trainer: Trainer = experiment.build("Train.trainer")
        if cluster_lookup is not None:
            assert isinstance(self.model, UsesClusterLookup)  # seed.gin binds such a model
            self.model.use_cluster_lookup(cluster_lookup)
        self._best = _BestWeights()
        self._trainer.attach(RunInfo(device=device, seed=seed, config=dict(config)), self._best)
        self.test_metrics: dict[str, float] = {}

    @property
    def model(self) -> nn.Module:
        """The bare model, on its device."""
        return self._trainer.model

    def train_epoch(self, loader: Iterable[Batch]) -> dict[str, float]:
        """Train for one epoch. Gives its means total_loss, token_ce and token_accuracy."""
        return self._trainer.train_epoch(loader)

    def validate(self, loader: Iterable[Batch]) -> dict[str, float]:
        """Gives val/total_loss, val/token_ce, val/token_accuracy and the values for each horizon."""
        return self._trainer.validate(loader)

    def train(
        self,
        train_loader: Iterable[Batch] | None = None,
        val_loader: Iterable[Batch] | None = None,
        test_loader: Iterable[Batch] | None = None,
    ) -> float:
        """Train to the end. If there is a test_loader, score it once with the best weights, into `test_metrics`.

        Returns:
            The best val/total_loss in nats, or NaN if no validation gave a number. Without val_loader, the total_loss
            of the last epoch.

        Raises:
            EmprotError: train_loader is None.
        """
        if train_loader is None:
            raise EmprotError("train_loader is None; give an iterable of batches to train on")
        self._trainer.fit(train_loader, val_loader)
        if test_loader is not None:
            self.test_metrics = self._score_test(test_loader)
        self._trainer.hooks.emit("on_run_end", self._trainer)
        if val_loader is None:
            return self._trainer.epoch_sums.means()["total_loss"]
        return self._trainer.best.get("val/total_loss", math.nan)

    def load_checkpoint(self, path: str | Path) -> bool:
        """Continue from a checkpoint. Gives False if there is no such file.

        Raises:
            CheckpointError: the file is damaged or is not a checkpoint.
        """
        if not Path(path).is_file():
            return False
        self._trainer.load_state_dict(load_checkpoint(path))
        return True

    def _score_test(self, loader: Iterable[Batch]) -> dict[str, float]:
        last = copy.deepcopy(self.model.state_dict())
        self.model.load_state_dict(self._best.weights or last)
        sums = MetricSums()
        for terms in score(self._trainer, loader):
            sums.add(terms)
        self.model.load_state_dict(last)
        return sums.over_ranks_of_any_length().means("test/")


class _BestWeights(Hook):
    """Keeps the weights of the best validation in memory, and in every checkpoint."""

    state_names = ("weights",)

    def __init__(self) -> None:
        self.weights: dict[str, Tensor] = {}

    def on_validation_end(self, trainer: TrainerView) -> None:
        if trainer.is_best:
            self.weights = {name: value.detach().clone() for name, value in trainer.model.state_dict().items()}


def _load_experiment(config: Mapping[str, Any]) -> Config:
    """seed.gin with the values of the mapping bound to its keys.

    Raises:
        EmprotError: a key is unknown, num_clusters is missing, or a value does not fit.
    """
    keys = [*load([_EXPERIMENT]).macros(), *_SWITCHES]
    if unknown := [key for key in config if key not in keys]:
        help = (*did_you_mean(nearest(unknown[0], keys)), f"known keys: {', '.join(keys)}")
        raise EmprotError(f"the config has the unknown key {unknown[0]!r}; {'; '.join(help)}")
    if "num_clusters" not in config:
        raise EmprotError("the config has no num_clusters; give the number of classes of the vocabulary")
    values = {key: _plain(value) for key, value in config.items() if key not in _SWITCHES}
    switched_off = [binding for key, binding in _SWITCHES.items() if not config.get(key, True)]
    try:
        return load([_EXPERIMENT], [*(f"{key} = {value!r}" for key, value in values.items()), *switched_off])
    except ConfigError as error:
        raise EmprotError("; ".join(fault.message for fault in error.faults)) from error


def _plain(value: Any) -> Any:
    """The value as gin can write it: a NumPy number becomes a Python number, a list a tuple, a path a string."""
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, list):
        return tuple(value)
    return os.fspath(value) if isinstance(value, os.PathLike) else value

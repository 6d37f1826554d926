"""A trainer from one flat mapping, without gin, fed by any iterable of batches."""

import copy
import math
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from emprot_core import registry
from emprot_core.batch import Batch
from emprot_core.checkpoint import load_checkpoint
from emprot_core.distributed import together
from emprot_core.hooks.base import Hook, RunInfo, TrainerView
from emprot_core.training.randomness import seed_everything, use_deterministic_algorithms
from emprot_core.training.sums import MetricSums
from emprot_core.training.trainer import Trainer
from emprot_core.training.trainer_config import TrainerConfig


class EMPROTTrainer:
    """Trains ProteinTransformerClassificationOnly by masked cross-entropy; its methods work alone or together."""

    def __init__(self, config: Mapping[str, Any], cluster_lookup: str | Path | np.ndarray | Tensor | None = None):
        """
        Args:
            config: see TrainerConfig; num_clusters is required.
            cluster_lookup: (C, E) cluster centroids, or the path of an .npy file, that the embedding starts from.

        Raises:
            ValueError: the config or the lookup is wrong.
        """
        self.config = TrainerConfig.parse(config)
        device = torch.device(self.config.device or ("cuda" if torch.cuda.is_available() else "cpu"))
        use_deterministic_algorithms(device, deterministic=False)
        seed_everything(self.config.seed)
        self._best = _BestWeights()
        self._trainer = _build_trainer(self.config, cluster_lookup, self._best)
        self._trainer.attach(RunInfo(device=device, seed=self.config.seed, config=dict(config)))
        self.test_metrics: dict[str, float] = {}

    @property
    def model(self) -> nn.Module:
        """The bare model, on its device."""
        return self._trainer.model

    def train_epoch(self, loader: Iterable[Batch]) -> dict[str, float]:
        """One epoch: the means total_loss, token_ce, token_accuracy over it."""
        return self._trainer.train_epoch(loader)

    def validate(self, loader: Iterable[Batch]) -> dict[str, float]:
        """val/total_loss, val/token_ce, val/token_accuracy and the figures per horizon."""
        return self._trainer.validate(loader)

    def train(
        self,
        train_loader: Iterable[Batch] | None = None,
        val_loader: Iterable[Batch] | None = None,
        test_loader: Iterable[Batch] | None = None,
    ) -> float:
        """Train to the end; a test_loader is scored once, with the best weights, into `test_metrics`.

        Returns:
            The best val/total_loss in nats, NaN if no validation gave a number; without val_loader the total_loss of
            the last epoch.

        Raises:
            ValueError: train_loader is None.
        """
        if train_loader is None:
            raise ValueError("train_loader is None; give an iterable of batches to train on")
        self._trainer.fit(train_loader, val_loader)
        if test_loader is not None:
            self.test_metrics = self._score_test(test_loader)
        if val_loader is None:
            return self._trainer.epoch_sums.means()["total_loss"]
        return self._trainer.best.get("val/total_loss", math.nan)

    def load_checkpoint(self, path: str | Path) -> bool:
        """Go on from a checkpoint. False if there is no such file.

        Raises:
            CheckpointError: the file is damaged or no checkpoint.
        """
        if not Path(path).is_file():
            return False
        self._trainer.load_state_dict(load_checkpoint(path))
        return True

    def _score_test(self, loader: Iterable[Batch]) -> dict[str, float]:
        last = copy.deepcopy(self.model.state_dict())
        if self._best.weights:
            self.model.load_state_dict(self._best.weights)
        sums = MetricSums()
        for terms in together(self._trainer.score(loader)):
            sums.add(terms or {})
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


def _build_trainer(config: TrainerConfig, cluster_lookup: Any, best: Hook) -> Trainer:
    model = registry.get("model", "ProteinTransformerClassificationOnly")(
        d_embed=config.d_embed,
        num_heads=config.num_heads,
        num_layers=config.num_layers,
        future_horizon=config.future_horizon,
        num_clusters=config.num_clusters,
        dropout=config.dropout,
        cluster_lookup=cluster_lookup,
    )
    return Trainer(
        model=model,
        loss=registry.get("loss", "MaskedCrossEntropy")(),
        optimizer=lambda named: registry.get("optimizer", "adamw")(
            named, learning_rate=config.learning_rate, weight_decay=config.weight_decay, betas=tuple(config.betas)
        ),
        scheduler=_scheduler(config),
        metrics=[registry.get("metric", name)() for name in ("TokenAccuracy", "HorizonAccuracy", "HorizonNLL")],
        hooks=[best, *_hooks(config)],
        max_epochs=config.max_epochs,
        max_steps=config.max_steps,
        grad_accum_steps=config.grad_accum_steps,
    )


def _scheduler(config: TrainerConfig) -> Any:
    if not config.use_scheduler:
        return None
    return lambda optimizer, num_steps: registry.get("scheduler", "cosine_with_warmup")(
        optimizer, num_steps, warmup_proportion=config.warmup_proportion, min_lr=config.min_lr
    )


def _hooks(config: TrainerConfig) -> list[Hook]:
    def hook(name: str, **parameters: Any) -> Hook:
        return registry.get("hook", name)(**parameters)

    hooks = [hook("NonFinite"), hook("Progress")]
    if config.max_grad_norm is not None:
        hooks.append(hook("ClipGradients", max_grad_norm=config.max_grad_norm))
    if config.use_amp:
        hooks.append(hook("MixedPrecision"))
    if config.patience is not None:
        hooks.append(hook("EarlyStopping", patience=config.patience, min_delta=config.early_stopping_min_delta))
    if config.checkpoint_dir is not None:
        hooks.append(hook("Checkpoint", directory=config.checkpoint_dir))
    return hooks

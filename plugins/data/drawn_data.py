"""What data that a known process draws have in common: splits, batches and their description."""

import hashlib
import json
from collections.abc import Mapping
from typing import Any, get_args

import numpy as np
import torch
from torch import Tensor

from emprot_core.contracts import Split, TrajectoryFrames, Vocabulary
from emprot_core.errors import EmprotError

from .synthetic_windows import GROUP, Process, SyntheticLoader, SyntheticWindows

VERSION = 1  # raise it when the same parameters no longer give the same windows


class DrawnData:
    """Windows of a process. Training windows never repeat; validation and test windows are always the same.

    Batches have one more key, next_distribution (B, N, C): the exact p at h = 1, which metrics.ExactKL reads.
    """

    def __init__(
        self,
        process: Process,
        description: Mapping[str, Any],
        history: int,
        horizon: int,
        process_seed: int,
        batch_sizes: tuple[int, int],
        num_windows: Mapping[str, int],
    ):
        """
        Args:
            description: what made the process, as the vocabulary tells it.
            batch_sizes: windows of a batch in training, and in validation and test.
            num_windows: by split; for training, windows in an epoch.

        Raises:
            EmprotError: a size or seed is too small.
        """
        name = type(self).__name__
        check_at_least(name, 1, {"horizon": horizon, "batch_size": batch_sizes[0], "eval_batch_size": batch_sizes[1]})
        check_at_least(name, 1, {f"{split}_windows": count for split, count in num_windows.items()})
        check_at_least(name, 0, {"process_seed": process_seed})
        self.process, self.history, self.horizon, self.process_seed = process, history, horizon, process_seed
        self.batch_size, self.eval_batch_size = batch_sizes
        self._num_windows = dict(num_windows)
        self.vocabulary = Vocabulary(str(description["name"]), process.num_clusters, description)
        described = [VERSION, dict(description), history, horizon, self._num_windows]
        self.digest = hashlib.sha256(json.dumps(described, sort_keys=True).encode()).hexdigest()

    def num_windows(self, split: Split) -> int:
        """The number of windows of a split, over all ranks; for training, the number in one epoch."""
        return self._num_windows[split]

    def loader(self, split: Split, seed: int = 0) -> SyntheticLoader:
        """The batches of a split; another `seed` gives other windows."""
        return self._loader(split, seed, rank=None, world_size=None)

    def all_windows(self, split: Split) -> SyntheticLoader:
        """Every window of a split once, the same on every rank; for training, those of the first epoch of seed 0."""
        return self._loader(split, seed=0, rank=0, world_size=1)

    def split_contents(self, split: Split) -> list[TrajectoryFrames]:
        """One trajectory, in which each window has a place of its own."""
        return [TrajectoryFrames(GROUP, GROUP, self._num_windows[split])]

    def places(self, split: Split, window_ids: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(B,) zeros, as there is one trajectory, and (B,) frames that no two windows share."""
        return np.zeros(len(window_ids), np.int64), window_ids * (self.history + self.horizon)

    def class_counts(self) -> Tensor:
        """(C,) long: how often each class is a target in all_windows("train")."""
        counts = torch.zeros(self.vocabulary.num_clusters, dtype=torch.long)
        for batch in self.all_windows("train"):
            counts += torch.bincount(batch["future_cluster_ids"].flatten(), minlength=len(counts))
        return counts

    def _loader(self, split: Split, seed: int, rank: int | None, world_size: int | None) -> SyntheticLoader:
        stream = [self.process_seed, get_args(Split).index(split), seed]
        windows = SyntheticWindows(self.process, self.history, self.horizon, stream)
        return SyntheticLoader(
            windows, self._num_windows[split], self.batch_size, self.eval_batch_size, rank, world_size
        )


def check_at_least(owner: str, lowest: int, sizes: Mapping[str, int]) -> None:
    """Raise EmprotError if a size of a component is too small."""
    for name, size in sizes.items():
        if size < lowest:
            raise EmprotError(f"{owner}.{name} is {size}, expected {lowest} or more")

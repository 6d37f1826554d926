"""Endless data from a process whose exact distribution is known, to test how much of it a model learns."""

import hashlib
import json
from itertools import pairwise
from typing import Any, get_args

import numpy as np
import torch
from torch import Tensor

from emprot_core.contracts import Split, TrajectoryFrames, Vocabulary
from emprot_core.errors import EmprotError
from emprot_core.registry import register

from .synthetic_process import CoupledProcess, entropy_bits
from .synthetic_windows import SyntheticLoader, SyntheticWindows

_VERSION = 1  # raise it when the same parameters no longer give the same windows
_BAYES_STREAM = len(get_args(Split))  # the splits use streams 0, 1 and 2
_BAYES_TRAJECTORIES = 64


@register("data")
class Synthetic:
    """Windows of N residues on a random cycle; each depends on its last two states and its neighbour's last one.

    p(x[t+1,n] = y | past) = softmax_y(2 [y = x[t,n]] + g1 G1[x[t,n], y] + g2 G2[x[t-1,n], y] + g3 G3[x[t,nb(n)], y]).
    g2 sets the memory, g3 the coupling to the neighbour nb(n). Batches have one more key, next_distribution (B, N, C):
    the exact p at h = 1, which metrics.ExactKL reads. Training windows never repeat; validation and test windows are
    always the same.
    """

    def __init__(
        self,
        history: int,
        horizon: int,
        g1: float = 1.0,
        g2: float = 1.25,
        g3: float = 1.25,
        num_residues: int = 24,
        num_clusters: int = 16,
        process_seed: int = 0,
        batch_size: int = 64,
        eval_batch_size: int = 256,
        train_windows: int = 6400,
        validation_windows: int = 1024,
        test_windows: int = 1024,
    ):
        """
        Args:
            history: K, at least 2 frames, because the process remembers two.
            horizon: F, frames to predict.
            g1, g2, g3: how strongly the residue's last state, its state before that and its neighbour's last state act.
            process_seed: seed of G1, G2, G3 and the cycle. The windows depend on the run's seed as well.
            batch_size: windows of a micro-batch in training.
            eval_batch_size: windows of a batch in validation and test.
            train_windows: training windows in one epoch; baselines are fitted on those of the first epoch.

        Raises:
            EmprotError: a size or seed is too small.
        """
        strengths = {"g1": float(g1), "g2": float(g2), "g3": float(g3)}
        process: dict[str, Any] = {**strengths, "num_residues": num_residues, "num_clusters": num_clusters}
        self._num_windows = {"train": train_windows, "validation": validation_windows, "test": test_windows}
        batch_sizes = {"batch_size": batch_size, "eval_batch_size": eval_batch_size}
        _check_at_least(2, {"history": history, "num_residues": num_residues, "num_clusters": num_clusters})
        _check_at_least(1, {"horizon": horizon, **batch_sizes})
        _check_at_least(1, {f"{split}_windows": count for split, count in self._num_windows.items()})
        _check_at_least(0, {"process_seed": process_seed})
        self.process = CoupledProcess(**process, seed=process_seed)
        self.history, self.horizon, self.process_seed = history, horizon, process_seed
        self.batch_size, self.eval_batch_size = batch_size, eval_batch_size
        self.vocabulary = Vocabulary("synthetic", num_clusters, {"name": "synthetic", **process, "seed": process_seed})
        described = [_VERSION, dict(self.vocabulary.tokenizer), history, horizon, self._num_windows]
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
        return [TrajectoryFrames("synthetic", "synthetic", self._num_windows[split])]

    def places(self, split: Split, window_ids: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(B,) zeros, as there is one trajectory, and (B,) frames that no two windows share."""
        return np.zeros(len(window_ids), np.int64), window_ids * (self.history + self.horizon)

    def class_counts(self) -> Tensor:
        """(C,) long: how often each class is a target in all_windows("train")."""
        counts = torch.zeros(self.vocabulary.num_clusters, dtype=torch.long)
        for batch in self.all_windows("train"):
            counts += torch.bincount(batch["future_cluster_ids"].flatten(), minlength=len(counts))
        return counts

    def bayes_nll_bits(self, horizon: int = 1, num_frames: int = 1000) -> float:
        """The lowest NLL any forecaster can have, bits per residue-step: the mean entropy of the exact conditional.

        At horizon 1 it is the entropy rate. The mean is over num_frames frames of 64 trajectories outside all splits.

        Raises:
            EmprotError: the horizon is neither 1 nor 2, for which the conditional is known.
        """
        exact = {1: self.process.next_distribution, 2: self.process.second_distribution}
        if horizon not in exact:
            raise EmprotError(f"horizon is {horizon}, expected 1 or 2: the exact conditional is known for those")
        trajectories = SyntheticWindows(self.process, num_frames, 1, [self.process_seed, _BAYES_STREAM, 0])
        frames = trajectories.draw(np.arange(_BAYES_TRAJECTORIES)).swapaxes(0, 1)
        return float(np.mean([entropy_bits(exact[horizon](*pair)).mean() for pair in pairwise(frames)]))

    def _loader(self, split: Split, seed: int, rank: int | None, world_size: int | None) -> SyntheticLoader:
        stream = [self.process_seed, get_args(Split).index(split), seed]
        windows = SyntheticWindows(self.process, self.history, self.horizon, stream)
        return SyntheticLoader(
            windows, self._num_windows[split], self.batch_size, self.eval_batch_size, rank, world_size
        )


def _check_at_least(lowest: int, sizes: dict[str, int]) -> None:
    for name, size in sizes.items():
        if size < lowest:
            raise EmprotError(f"Synthetic.{name} is {size}, expected {lowest} or more")

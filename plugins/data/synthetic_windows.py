"""Windows of the synthetic process, drawn when they are asked for, and the batches made of them."""

from collections.abc import Iterator
from fractions import Fraction
from typing import Protocol

import numpy as np
import torch

from emprot_core import distributed
from emprot_core.batch import Batch, group_id

_EPOCH = 1 << 32  # window numbers reserved for each epoch: more than any epoch has
GROUP = "synthetic"  # the one protein of all windows
_BURN_IN = 40  # frames until the process has forgotten its uniform start; the entropy is level from 20 on


class Process(Protocol):
    """Draws trajectories of residues, and knows their distribution."""

    num_residues: int
    num_clusters: int

    def run(self, uniforms: np.ndarray) -> np.ndarray:
        """Trajectories (B, T, N) int64 from uniform random numbers (B, T, N); 40 frames later it is stationary."""

    def exact(self, past: np.ndarray) -> np.ndarray:
        """(B, N, C): the distribution of the frame after a past (B, K, N)."""


class SyntheticWindows:
    """Draws windows. A window depends only on the stream and its number, not on what was drawn before."""

    def __init__(self, process: Process, history: int, horizon: int, stream: list[int]):
        """
        Args:
            stream: numbers, 0 or more, that seed all windows; another list gives other windows.
        """
        self.process, self.history, self.horizon, self.stream = process, history, horizon, stream

    def __call__(self, window_ids: np.ndarray) -> Batch:
        """The batch of these windows (B,), with next_distribution (B, N, C) float32, the exact p at h = 1."""
        num_windows, num_residues = len(window_ids), self.process.num_residues
        frames = self.draw(window_ids)
        past, future = frames[:, : self.history], frames[:, self.history :]
        exact = self.process.exact(past)
        batch: Batch = {
            "input_cluster_ids": torch.from_numpy(np.ascontiguousarray(past)),
            "times": torch.zeros(num_windows, self.history),
            "sequence_lengths": torch.full((num_windows,), num_residues),
            "history_mask": torch.ones(past.shape, dtype=torch.bool),
            "residue_mask": torch.ones(num_windows, num_residues, dtype=torch.bool),
            "future_cluster_ids": torch.from_numpy(np.ascontiguousarray(future)),
            "future_step_mask": torch.ones(num_windows, self.horizon, dtype=torch.bool),
            "window_ids": torch.from_numpy(np.array(window_ids, np.int64)),
            "group_ids": torch.full((num_windows,), group_id(GROUP)),
        }
        return {**batch, "next_distribution": torch.from_numpy(exact.astype(np.float32))}  # type: ignore[typeddict-unknown-key]

    def draw(self, window_ids: np.ndarray) -> np.ndarray:
        """The K + F frames (B, K+F, N) int64 of windows (B,), each from a stationary trajectory of its own."""
        shape = (_BURN_IN + self.history + self.horizon, self.process.num_residues)
        uniforms = np.empty((len(window_ids), *shape))
        for row, window in zip(uniforms, window_ids.tolist(), strict=True):
            np.random.Generator(np.random.PCG64([*self.stream, window])).random(out=row)
        return self.process.run(uniforms)[:, _BURN_IN:]


class SyntheticLoader:
    """A StepLoader over windows that never repeat: every epoch has new ones.

    An optimizer step takes the next batch_size x accumulation x ranks windows, however these are divided among the
    ranks and micro-batches. Every step is full, because the process has no end.
    """

    def __init__(
        self,
        windows: SyntheticWindows,
        num_windows: int,
        batch_size: int,
        eval_batch_size: int,
        rank: int | None = None,
        world_size: int | None = None,
    ):
        """
        Args:
            num_windows: windows in an iteration and in an epoch; in an epoch the last step is filled up with more.
            batch_size: windows of a micro-batch in training.
            eval_batch_size: windows of a batch when the loader is iterated.
            rank, world_size: None takes those of this process.
        """
        self.windows, self.num_windows = windows, num_windows
        self.batch_size, self.eval_batch_size = batch_size, eval_batch_size
        self.rank = distributed.rank() if rank is None else rank
        self.world_size = distributed.world_size() if world_size is None else world_size

    def num_steps(self, grad_accum_steps: int) -> int:
        """The number of optimizer steps in one epoch."""
        return -(-self.num_windows // self._windows_per_step(grad_accum_steps))

    def steps(self, epoch: int, first_step: int | Fraction, grad_accum_steps: int) -> Iterator[list[Batch]]:
        """The micro-batches of each optimizer step of this rank, from `first_step` on (contracts.StepLoader)."""
        per_step = self._windows_per_step(grad_accum_steps)
        for first in range(int(first_step * per_step), self.num_windows, per_step):
            micro_batches = np.arange(first, first + per_step).reshape(-1, self.batch_size) + epoch * _EPOCH
            yield [self.windows(window_ids) for window_ids in micro_batches[self.rank :: self.world_size]]

    def __len__(self) -> int:
        """The number of batches in an iteration on this rank."""
        return -(-len(range(self.rank, self.num_windows, self.world_size)) // self.eval_batch_size)

    def __iter__(self) -> Iterator[Batch]:
        """The first num_windows windows, each once; rank r of R has the windows r, r+R, ..."""
        own = np.arange(self.rank, self.num_windows, self.world_size)
        for first in range(0, len(own), self.eval_batch_size):
            yield self.windows(own[first : first + self.eval_batch_size])

    def _windows_per_step(self, grad_accum_steps: int) -> int:
        return self.batch_size * grad_accum_steps * self.world_size

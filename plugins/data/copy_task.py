"""A control in which a model that looks back finds nearly everything, and tables of transitions find nothing."""

import numpy as np

from emprot_core.errors import EmprotError
from emprot_core.registry import register

from .drawn_data import DrawnData, check_at_least


@register("data")
class CopyTask(DrawnData):
    """Windows of residues that repeat themselves: x[t] = x[t - period], or with probability `renewal` a random ID.

    A residue shows `period` IDs in turn, which are random. So neither its last ID nor how common each ID is tells the
    next one, but the frame `period` before it does.
    """

    def __init__(
        self,
        history: int,
        horizon: int,
        period: int = 8,
        renewal: float = 0.05,
        num_residues: int = 24,
        num_clusters: int = 16,
        process_seed: int = 0,
        batch_size: int = 64,
        eval_batch_size: int = 256,
        train_windows: int = 6400,
        validation_windows: int = 256,
        test_windows: int = 256,
    ):
        """
        Args:
            history: K, at least `period` frames.
            horizon: F, frames to predict.
            period: frames until a residue repeats itself.
            renewal: probability that a frame shows a new random ID.
            num_residues: N, residues of the protein.
            num_clusters: C, classes of a residue.
            process_seed: seed of the windows, which depend on the run's seed as well.
            batch_size: windows of a micro-batch in training.
            eval_batch_size: windows of a batch in validation and test.
            train_windows: training windows in one epoch; baselines are fitted on those of the first epoch.
            validation_windows, test_windows: windows of these splits.

        Raises:
            EmprotError: a size or seed is too small, or renewal is no probability.
        """
        sizes = {"num_residues": num_residues, "num_clusters": num_clusters, "period": period}
        check_at_least("CopyTask", 1, sizes)
        check_at_least("CopyTask", period, {"history": history})
        if not 0 <= renewal <= 1:
            raise EmprotError(f"CopyTask.renewal is {renewal}, expected a probability from 0 to 1")
        super().__init__(
            CopyProcess(**sizes, renewal=renewal),
            {"name": "copy", **sizes, "renewal": renewal, "seed": process_seed},
            history,
            horizon,
            process_seed,
            (batch_size, eval_batch_size),
            {"train": train_windows, "validation": validation_windows, "test": test_windows},
        )


class CopyProcess:
    """Independent residues, each of which repeats its last `period` IDs until one is renewed."""

    def __init__(self, num_residues: int, num_clusters: int, period: int, renewal: float):
        self.num_residues, self.num_clusters, self.period, self.renewal = num_residues, num_clusters, period, renewal

    def run(self, uniforms: np.ndarray) -> np.ndarray:
        """Trajectories (B, T, N) int64 from uniform random numbers (B, T, N). They are stationary from the start."""
        frames = (uniforms * self.num_clusters).astype(np.int64)
        renewed = (uniforms * self.num_clusters) % 1 < self.renewal  # independent of the ID that the number gives
        for t in range(self.period, frames.shape[1]):
            frames[:, t] = np.where(renewed[:, t], frames[:, t], frames[:, t - self.period])
        return frames

    def exact(self, past: np.ndarray) -> np.ndarray:
        """The exact distribution (B, N, C) of the frame after a past (B, K, N)."""
        copied = np.eye(self.num_clusters)[past[:, -self.period]]
        return (1 - self.renewal) * copied + self.renewal / self.num_clusters

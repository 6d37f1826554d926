"""Endless data from a process whose exact distribution is known, to test how much of it a model learns."""

from itertools import pairwise
from typing import get_args

import numpy as np

from emprot_core.contracts import Split
from emprot_core.errors import EmprotError
from emprot_core.registry import register

from .drawn_data import DrawnData, check_at_least
from .synthetic_process import CoupledProcess, entropy_bits
from .synthetic_windows import SyntheticWindows

_BAYES_STREAM = len(get_args(Split))  # the splits use streams 0, 1 and 2
_BAYES_TRAJECTORIES = 64

MAX_CLUSTERS = 64
"""More would take gigabytes."""


@register("data")
class Synthetic(DrawnData):
    """Windows of N residues on a random cycle; each depends on its last two states and its neighbour's last one.

    p(x[t+1,n] = y | past) = softmax_y(2 [y = x[t,n]] + g1 G1[x[t,n], y] + g2 G2[x[t-1,n], y] + g3 G3[x[t,nb(n)], y]).
    g2 sets the memory, g3 the coupling to the neighbour nb(n).
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
            num_residues: N, residues of the protein.
            num_clusters: C, classes of a residue.
            process_seed: seed of G1, G2, G3 and the cycle. The windows depend on the run's seed as well.
            batch_size: windows of a micro-batch in training.
            eval_batch_size: windows of a batch in validation and test.
            train_windows: training windows in one epoch; baselines are fitted on those of the first epoch.
            validation_windows, test_windows: windows of these splits.

        Raises:
            EmprotError: a size or seed is too small, or there are too many classes.
        """
        if num_clusters > MAX_CLUSTERS:
            raise EmprotError(
                f"Synthetic.num_clusters is {num_clusters}, expected {MAX_CLUSTERS} at the most: the exact "
                "distribution is a table of num_clusters^4 numbers"
            )
        strengths = {"g1": float(g1), "g2": float(g2), "g3": float(g3)}
        sizes = {"num_residues": num_residues, "num_clusters": num_clusters}
        check_at_least("Synthetic", 2, {"history": history, **sizes})
        self.coupled = CoupledProcess(g1, g2, g3, num_residues, num_clusters, seed=max(0, process_seed))
        super().__init__(
            self.coupled,
            {"name": "synthetic", **strengths, **sizes, "seed": process_seed},
            history,
            horizon,
            process_seed,
            (batch_size, eval_batch_size),
            {"train": train_windows, "validation": validation_windows, "test": test_windows},
        )

    def bayes_nll_bits(self, horizon: int = 1, num_frames: int = 1000) -> float:
        """The lowest NLL any forecaster can have, bits per residue-step: the mean entropy of the exact conditional.

        At horizon 1 it is the entropy rate. The mean is over num_frames frames of 64 trajectories outside all splits.

        Raises:
            EmprotError: the horizon is neither 1 nor 2, for which the conditional is known.
        """
        exact = {1: self.coupled.next_distribution, 2: self.coupled.second_distribution}
        if horizon not in exact:
            raise EmprotError(f"horizon is {horizon}, expected 1 or 2: the exact conditional is known for those")
        trajectories = SyntheticWindows(self.coupled, num_frames, 1, [self.process_seed, _BAYES_STREAM, 0])
        frames = trajectories.draw(np.arange(_BAYES_TRAJECTORIES)).swapaxes(0, 1)
        return float(np.mean([entropy_bits(exact[horizon](*pair)).mean() for pair in pairwise(frames)]))

"""Rollouts: trajectories that a forecaster draws, frame by frame, each from what it drew before.

Random numbers depend on the seed, the trajectory and the frame alone. So a rollout is the same in any batch, and one
that was interrupted goes on from its last frames to the same IDs.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np

from emprot_core.batch import MISSING_ID, group_id
from emprot_core.contracts import GivesProbabilities
from emprot_core.data.past_batch import batch_before
from emprot_core.errors import EmprotError

Way = Literal["one_step", "direct"]


class Start(NamedTuple):
    """Where a rollout begins: the T last known frames (T, residues), or fewer."""

    trajectory: str
    group: str
    time_step_ns: float
    past: np.ndarray


@dataclass(frozen=True)
class Sampler:
    """Draws IDs from probabilities.

    Attributes:
        temperature: probabilities are raised to 1 / temperature. With 1 the change rate is that of the forecast.
        top_p: only the most probable classes that make up this share are drawn from.
    """

    temperature: float = 1.0
    top_p: float = 1.0

    def __post_init__(self) -> None:
        if self.temperature <= 0:
            raise EmprotError(f"temperature is {self.temperature}, expected a number above 0")
        if not 0 < self.top_p <= 1:
            raise EmprotError(f"top_p is {self.top_p}, expected a number in (0, 1]")

    def __call__(self, probabilities: np.ndarray, uniform: np.ndarray) -> np.ndarray:
        """(...) IDs from probabilities (..., C) and numbers (...) that are uniform in [0, 1)."""
        weights = probabilities.astype(np.float64)
        if self.temperature != 1:
            weights = (weights / weights.max(axis=-1, keepdims=True)) ** (1 / self.temperature)
        if self.top_p < 1:
            order = np.argsort(-weights, axis=-1, kind="stable")
            ranked = np.take_along_axis(weights, order, axis=-1)
            before = ranked.cumsum(axis=-1) - ranked
            ranked[before >= self.top_p * ranked.sum(axis=-1, keepdims=True)] = 0
            np.put_along_axis(weights, order, ranked, axis=-1)
        sums = weights.cumsum(axis=-1)
        drawn = (sums <= (uniform * sums[..., -1])[..., None]).sum(axis=-1)
        return np.minimum(drawn, probabilities.shape[-1] - 1)


class Plan(NamedTuple):
    """How rollouts are drawn.

    Attributes:
        num_frames: the length of a rollout.
        input_frames: T, the frames that the forecaster may read.
        horizon: F of the forecaster.
        way: "one_step" draws the next frame, "direct" the next F frames at once, each on its own.
    """

    num_frames: int
    input_frames: int
    horizon: int
    sampler: Sampler
    way: Way = "one_step"


def roll_out(
    forecaster: GivesProbabilities, start: Start, seeds: Sequence[int], plan: Plan, first_frame: int = 0
) -> Iterator[np.ndarray]:
    """The next frames of one rollout for each seed, again and again until there are plan.num_frames: (seeds, f, N).

    A residue without an ID in the last known frame has none in the rollout: it is at an end or a break of the chain.

    Args:
        start: with one past for all seeds, or of shape (seeds, T, residues) for rollouts that go on.
        first_frame: how many frames are drawn already.
    """
    num, past = len(seeds), np.broadcast_to(start.past, (len(seeds), *start.past.shape[-2:]))[:, -plan.input_frames :]
    known = past[:, -1] != MISSING_ID
    steps = range(1, 2) if plan.way == "one_step" else range(1, plan.horizon + 1)
    done = first_frame
    while done < plan.num_frames:
        ends, times = [past.shape[1] - 1] * num, [start.time_step_ns] * num
        batch = batch_before(list(past), ends, plan.input_frames, plan.horizon, [start.group] * num, times)
        new = []
        for step in steps[: plan.num_frames - done]:
            probabilities = forecaster.probabilities(batch, step)
            uniform = [_uniform(seed, start.trajectory, done + step, known.shape[1]) for seed in seeds]
            new.append(np.where(known, plan.sampler(probabilities, np.stack(uniform)), MISSING_ID))
        block = np.stack(new, axis=1)
        past = np.concatenate([past, block], axis=1)[:, -plan.input_frames :]
        done += block.shape[1]
        yield block


def _uniform(seed: int, trajectory: str, frame: int, num_residues: int) -> np.ndarray:
    key = np.array([seed, group_id(trajectory)], np.uint64)
    return np.random.Generator(np.random.Philox(key=key, counter=[0, 0, 0, frame])).random(num_residues)

"""The positions of a batch (window, residue) at one horizon: baselines are fitted on them and forecast them."""

from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

import numpy as np

from emprot_core.batch import MISSING_ID, Batch, target_mask
from emprot_core.data.history import observed_history
from emprot_core.errors import EmprotError

from .tally import Counts, Tally


class Positions(NamedTuple):
    """P positions (window, residue) of a batch at one horizon."""

    horizon: int  # h, from 1
    window: np.ndarray  # (P,) row of the batch
    residue: np.ndarray  # (P,) column of the batch
    history: np.ndarray  # (P, T) the residue's IDs, the last frame last, MISSING_ID where unknown
    target: np.ndarray  # (P,)
    group: np.ndarray  # (P,) the group_ids of the window: which protein it is; -1 if the batch has none

    @property
    def last(self) -> np.ndarray:
        """(P,) the ID in the last frame, MISSING_ID where unknown."""
        return self.history[:, -1]

    def before(self, frames: int) -> np.ndarray:
        """(P,) the ID so many frames before the last, MISSING_ID where unknown."""
        frame = self.history.shape[1] - 1 - frames
        return self.history[:, frame] if frame >= 0 else np.full(len(self.history), MISSING_ID)

    def chosen(self, rows: slice | np.ndarray) -> "Positions":
        """Some of the positions: a slice, or (P,) bool."""
        return Positions(self.horizon, *(column[rows] for column in self[1:]))

    def blocks(self, size: int) -> Iterator["Positions"]:
        """The positions in their order, at most `size` at once."""
        for start in range(0, len(self.window), size):
            yield self.chosen(slice(start, start + size))


def counted_positions(batch: Batch, num_frames: int | None = None) -> Iterator[Positions]:
    """The positions whose target counts, for each horizon, with the last `num_frames` of history (None: all)."""
    mask = target_mask(batch).cpu().numpy()
    targets = batch["future_cluster_ids"].cpu().numpy()
    history = _history(batch, num_frames)
    for step in range(mask.shape[1]):
        window, residue = np.nonzero(mask[:, step])
        yield _positions(batch, history, step + 1, window, residue, targets[window, step, residue])


def all_positions(batch: Batch, horizon: int, num_frames: int | None = None) -> Positions:
    """Every window and residue of a batch, padding too, window by window; the targets are all MISSING_ID."""
    history = _history(batch, num_frames)
    window, residue = np.divmod(np.arange(len(history) * history.shape[2]), history.shape[2])
    return _positions(batch, history, horizon, window, residue, np.full(len(window), MISSING_ID))


def count_keys(
    batches: Iterable[Batch], key: Callable[[Positions], np.ndarray], num_frames: int | None = None
) -> list[Counts]:
    """For each horizon, how often each key occurs at the counted positions of all batches.

    Raises:
        EmprotError: there is no batch.
    """
    tallies: list[Tally] = []
    for batch in batches:
        for at in counted_positions(batch, num_frames):
            if at.horizon > len(tallies):
                tallies.append(Tally())
            tallies[at.horizon - 1].add(key(at))
    if not tallies:
        raise EmprotError("there are no training windows to fit a baseline on; give the training split some")
    return [tally.result() for tally in tallies]


def _history(batch: Batch, num_frames: int | None) -> np.ndarray:
    return observed_history(batch)[:, -(num_frames or 0) :]


def _positions(
    batch: Batch, history: np.ndarray, horizon: int, window: np.ndarray, residue: np.ndarray, target: np.ndarray
) -> Positions:
    groups = batch["group_ids"].cpu().numpy() if "group_ids" in batch else np.full(len(history), -1)
    return Positions(horizon, window, residue, history[window, :, residue], target, groups[window])

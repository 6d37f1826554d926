"""Gathers windows of a store into one padded batch."""

from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
import torch

from emprot_core.batch import MISSING_ID, Batch
from emprot_core.data.joined_stores import JoinedStores
from emprot_core.data.store import TrajectoryStore
from emprot_core.data.windows import Windows

_OPEN_VIEWS = 4096  # trajectories kept open: to make a view of the memory map takes as long as to read a window


class Located(NamedTuple):
    """All that a batch needs to know of its B windows, but for the IDs."""

    window_ids: np.ndarray  # (B,) int64
    trajectory: np.ndarray  # (B,) int64, row of the store's index
    first_frame: np.ndarray  # (B,) int64, of the history
    step_mask: np.ndarray  # (B, F) bool
    is_cut: np.ndarray  # (B,) bool, where the mask is False anywhere
    residues: np.ndarray  # (B,) int64
    groups: np.ndarray  # (B,) int64
    times: np.ndarray  # (B, K) float32, ns

    def take(self, rows: slice | np.ndarray) -> "Located":
        """Some of the windows."""
        return Located._make([column[rows] for column in self])


class Gather:
    """Reads windows of a store: window numbers (B,) -> Batch, proteins of unlike length padded and masked.

    A batch owns its memory: it may be kept as long as one likes.
    """

    def __init__(self, store: TrajectoryStore | JoinedStores, windows: Windows):
        self.store, self.windows = store, windows
        self.num_residues = store.index["num_residues"].astype(np.int64)
        self._residues = np.arange(self.num_residues.max())
        self._groups = np.unique(store.index["group"], return_inverse=True)[1].astype(np.int64)
        steps = np.nan_to_num(store.index["time_step_ns"], nan=0.0)
        self._time_steps_ns = steps.astype(np.float32)
        self._open = lru_cache(_OPEN_VIEWS)(store.ids)

    def __getstate__(self) -> dict[str, Any]:
        return {"store": self.store, "windows": self.windows}  # pickled, a view would carry its frames along

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__(**state)  # type: ignore[misc]

    def __call__(self, window_ids: np.ndarray) -> Batch:
        """The batch of these windows. An ID is MISSING_ID in padding and at targets outside the window's span.

        Raises:
            StoreError: an ID lies outside [-1, C); the message names trajectory, frame and residue.
        """
        return self.read(self.locate(window_ids))

    def locate(self, window_ids: np.ndarray) -> Located:
        """Where windows lie: cheap for many at once, as those of many steps are."""
        trajectory, last_frame, step_mask = self.windows.locate(window_ids)
        offsets = np.arange(1 - self.windows.history, 1, dtype=np.float32)
        return Located(
            window_ids=np.array(window_ids, np.int64),
            trajectory=trajectory,
            first_frame=last_frame - self.windows.history + 1,
            step_mask=step_mask,
            is_cut=np.logical_not(step_mask.all(axis=1)),
            residues=self.num_residues[trajectory],
            groups=self._groups[trajectory],
            times=self._time_steps_ns[trajectory][:, None] * offsets,
        )

    def read(self, located: Located) -> Batch:
        """The batch of windows that were located: `__call__` says which."""
        history = self.windows.history
        ends_early = True in located.is_cut.tolist()
        widths = set(located.residues.tolist())
        ids = self._read_ids(located, max(widths), is_even=len(widths) == 1 and not ends_early)
        inputs = ids[:, :history].astype(np.int64)
        targets = ids[:, history:].astype(np.int64)
        if ends_early:
            targets[~located.step_mask] = MISSING_ID
        return {
            "input_cluster_ids": torch.from_numpy(inputs),
            "times": torch.from_numpy(located.times),
            "sequence_lengths": torch.from_numpy(located.residues),
            "history_mask": torch.from_numpy(inputs > MISSING_ID),
            "residue_mask": torch.from_numpy(self._residue_mask(located.residues, len(widths) == 1)),
            "future_cluster_ids": torch.from_numpy(targets),
            "future_step_mask": torch.from_numpy(located.step_mask),
            "window_ids": torch.from_numpy(located.window_ids),
            "group_ids": torch.from_numpy(located.groups),
        }

    def _residue_mask(self, residues: np.ndarray, all_alike: bool) -> np.ndarray:
        if all_alike:  # mostly, and not to compare them saves a twentieth of a batch's time
            return np.ones((len(residues), int(residues[0])), bool)
        return self._residues[: residues.max()] < residues[:, None]

    def _read_ids(self, located: Located, width: int, is_even: bool) -> np.ndarray:
        """(B, K+F, width) in the store's dtype: fewer bytes than the batch has, so copied and checked in less time.

        Even: all windows have all frames and `width` residues.
        """
        length = self.windows.history + self.windows.horizon
        places = zip(located.trajectory.tolist(), located.first_frame.tolist(), strict=True)
        frames = [self._open(trajectory)[first : first + length] for trajectory, first in places]
        ids = np.concatenate(frames).reshape(len(frames), length, width) if is_even else _pad(frames, length, width)
        lowest, highest = np.minimum.reduce(ids, None), np.maximum.reduce(ids, None)
        if lowest < MISSING_ID or highest >= self.store.vocabulary.num_clusters:
            for trajectory in np.unique(located.trajectory).tolist():
                self.store.check_ids(trajectory)
        return ids


def _pad(frames: list[np.ndarray], length: int, width: int) -> np.ndarray:
    """(B, length, width) of B arrays of fewer frames or residues, MISSING_ID in the rest."""
    ids = np.full((len(frames), length, width), MISSING_ID, np.int32)
    for row, some in zip(ids, frames, strict=True):
        row[: some.shape[0], : some.shape[1]] = some
    return ids


def has_target(batch: Batch) -> bool:
    """Whether a gathered batch counts any position: its targets are MISSING_ID wherever a mask is False."""
    targets = batch["future_cluster_ids"].numpy()
    # Mostly one look is enough, and one in the middle: the ends of a chain have no ID.
    return bool(targets[0, 0, targets.shape[2] // 2] >= 0 or np.maximum.reduce(targets, None) >= 0)

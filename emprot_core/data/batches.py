"""Gathers windows of a store into one padded batch."""

from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
import torch

from emprot_core.batch import MISSING_ID, Batch, group_id
from emprot_core.data.joined_stores import JoinedStores
from emprot_core.data.store import TrajectoryStore
from emprot_core.data.windows import Windows

_KNOWN_GROUPS = 4096  # a hash of a protein's name costs as much as reading a window, so keep this many


class Located(NamedTuple):
    """Everything that a batch needs to know about its B windows, except the IDs."""

    window_ids: np.ndarray  # (B,) int64
    trajectory: np.ndarray  # (B,) int64, row of the store's index
    first_frame: np.ndarray  # (B,) int64, the first frame of the history
    step_mask: np.ndarray  # (B, F) bool
    is_cut: np.ndarray  # (B,) bool, True if step_mask is False anywhere
    residues: np.ndarray  # (B,) int64, number of residues
    groups: np.ndarray  # (B,) int64, group_id of the protein
    times: np.ndarray  # (B, T) float32, ns

    def take(self, rows: slice | np.ndarray) -> "Located":
        """The windows in these rows."""
        return Located._make([column[rows] for column in self])


class Gather:
    """Reads windows of a store, by their numbers (B,), into one Batch. Shorter proteins are padded and masked.

    A batch holds T = past + K frames of input. Frames before the trajectory begins are MISSING_ID and masked. A batch
    owns its memory, so it may be kept.
    """

    def __init__(self, store: TrajectoryStore | JoinedStores, windows: Windows, past: int = 0):
        """
        Args:
            past: frames before the K of the history that a batch holds besides.
        """
        self.store, self.windows, self.past = store, windows, past
        self.num_residues = store.index["num_residues"].astype(np.int64)
        self._residues = np.arange(self.num_residues.max())
        steps = np.nan_to_num(store.index["time_step_ns"], nan=0.0)
        self._time_steps_ns = steps.astype(np.float32)
        self._group = lru_cache(_KNOWN_GROUPS)(lambda trajectory: group_id(str(store.index["group"][trajectory])))

    def __getstate__(self) -> dict[str, Any]:
        return {"store": self.store, "windows": self.windows, "past": self.past}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__(**state)  # type: ignore[misc]

    def __call__(self, window_ids: np.ndarray) -> Batch:
        """The batch of these windows. An ID is MISSING_ID in padding and at targets outside the window's span.

        Raises:
            StoreError: an ID lies outside [-1, C); the message names trajectory, frame and residue.
        """
        return self.read(self.locate(window_ids))

    def locate(self, window_ids: np.ndarray) -> Located:
        """Where windows lie. Locating the windows of many steps at once is cheap."""
        trajectory, last_frame, step_mask = self.windows.locate(window_ids)
        offsets = np.arange(1 - self.past - self.windows.history, 1, dtype=np.float32)
        return Located(
            window_ids=np.array(window_ids, np.int64),
            trajectory=trajectory,
            first_frame=last_frame - self.windows.history + 1,
            step_mask=step_mask,
            is_cut=np.logical_not(step_mask.all(axis=1)),
            residues=self.num_residues[trajectory],
            groups=np.array([self._group(row) for row in trajectory.tolist()], np.int64),
            times=self._time_steps_ns[trajectory][:, None] * offsets,
        )

    def read(self, located: Located) -> Batch:
        """The batch of windows that were located; see `__call__`."""
        history = self.past + self.windows.history
        ends_early = True in located.is_cut.tolist()
        widths = set(located.residues.tolist())
        begins_late = int(located.first_frame.min()) < self.past
        ids = self._read_ids(located, max(widths), is_even=len(widths) == 1 and not ends_early and not begins_late)
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
        if all_alike:  # the usual case: skipping the comparison saves a twentieth of a batch's time
            return np.ones((len(residues), int(residues[0])), bool)
        return self._residues[: residues.max()] < residues[:, None]

    def _read_ids(self, located: Located, width: int, is_even: bool) -> np.ndarray:
        """(B, T+F, width) int16 or int32: smaller than the int64 of a batch, and so faster to copy and check.

        `is_even` says that every window has all its frames and `width` residues.
        """
        length = self.past + self.windows.history + self.windows.horizon
        firsts = (located.first_frame - self.past).tolist()
        places = zip(located.trajectory.tolist(), firsts, strict=True)
        read = self.store.frames
        frames = [read(trajectory, max(0, first), first + length) for trajectory, first in places]
        if is_even:
            ids = np.concatenate(frames).reshape(len(frames), length, width)
        else:
            ids = _pad(frames, [max(0, -first) for first in firsts], length, width)
        lowest, highest = np.minimum.reduce(ids, None), np.maximum.reduce(ids, None)
        if lowest < MISSING_ID or highest >= self.store.vocabulary.num_clusters:
            for trajectory in np.unique(located.trajectory).tolist():
                self.store.check_ids(trajectory)
        return ids


def _pad(frames: list[np.ndarray], leads: list[int], length: int, width: int) -> np.ndarray:
    """B arrays, some with fewer frames or residues, padded with MISSING_ID to (B, length, width).

    Args:
        leads: how many frames are missing before each.
    """
    ids = np.full((len(frames), length, width), MISSING_ID, np.int32)
    for row, lead, some in zip(ids, leads, frames, strict=True):
        row[lead : lead + some.shape[0], : some.shape[1]] = some
    return ids

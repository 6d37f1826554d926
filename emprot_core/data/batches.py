"""Gathers windows of a store into one padded batch."""

import numpy as np
import torch

from emprot_core.batch import MISSING_ID, Batch
from emprot_core.data.joined_stores import JoinedStores
from emprot_core.data.store import TrajectoryStore
from emprot_core.data.windows import Windows


class Gather:
    """Reads windows of a store: window numbers (B,) -> Batch, proteins of unlike length padded and masked."""

    def __init__(self, store: TrajectoryStore | JoinedStores, windows: Windows):
        self.store, self.windows = store, windows
        self.num_residues = store.index["num_residues"].astype(np.int64)
        self._groups = np.unique(store.index["group"], return_inverse=True)[1].astype(np.int64)
        steps = np.nan_to_num(store.index["time_step_ns"], nan=0.0)
        self._time_steps_ns = steps.astype(np.float32)

    def __call__(self, window_ids: np.ndarray) -> Batch:
        """The batch of these windows. An ID is MISSING_ID in padding and at targets outside the window's span.

        Raises:
            StoreError: an ID lies outside [-1, C); the message names trajectory, frame and residue.
        """
        history, horizon = self.windows.history, self.windows.horizon
        trajectory, last_frame, step_mask = self.windows.locate(window_ids)
        residues = self.num_residues[trajectory]
        shape = (len(window_ids), int(residues.max()))
        inputs = np.full((shape[0], history, shape[1]), MISSING_ID, np.int64)
        targets = np.full((shape[0], horizon, shape[1]), MISSING_ID, np.int64)
        for row, (source, last, count) in enumerate(
            zip(trajectory.tolist(), last_frame.tolist(), residues.tolist(), strict=True)
        ):
            ids = self.store.ids(source)
            inputs[row, :, :count] = ids[last - history + 1 : last + 1]
            future = ids[last + 1 : last + 1 + horizon]
            targets[row, : len(future), :count] = future
        self._check(trajectory, inputs, targets)
        targets[~step_mask] = MISSING_ID
        offsets = np.arange(1 - history, 1, dtype=np.float32)
        return {
            "input_cluster_ids": torch.from_numpy(inputs),
            "times": torch.from_numpy(self._time_steps_ns[trajectory][:, None] * offsets),
            "sequence_lengths": torch.from_numpy(residues),
            "history_mask": torch.from_numpy(inputs >= 0),
            "residue_mask": torch.from_numpy(np.arange(shape[1]) < residues[:, None]),
            "future_cluster_ids": torch.from_numpy(targets),
            "future_step_mask": torch.from_numpy(step_mask),
            "window_ids": torch.from_numpy(np.array(window_ids, np.int64)),
            "group_ids": torch.from_numpy(self._groups[trajectory]),
        }

    def _check(self, trajectory: np.ndarray, inputs: np.ndarray, targets: np.ndarray) -> None:
        low = min(inputs.min(), targets.min())
        high = max(inputs.max(), targets.max())
        if low >= MISSING_ID and high < self.store.vocabulary.num_clusters:
            return
        for row in np.unique(trajectory):
            self.store.check_ids(int(row))


def has_target(batch: Batch) -> bool:
    """Whether a gathered batch counts any position: its targets are MISSING_ID wherever a mask is False."""
    return int(batch["future_cluster_ids"].max()) >= 0

"""The training frames in parts, so that a window can leave its own part out of what was counted in training."""

from typing import Any

import numpy as np
import torch

from emprot_core.batch import Batch, group_id
from emprot_core.data.batches import Gather, Located
from emprot_core.data.joined_stores import JoinedStores
from emprot_core.data.store import TrajectoryStore
from emprot_core.data.windows import Windows

NONE = -1
_BLOCKS = 5  # of training time, with a single protein


class TrainingParts:
    """Which part of the training each frame belongs to: its protein or, with one protein alone, a fifth of the time.

    The number of a part is the group_id of its name, so that it means the same in every store.
    """

    def __init__(self, index: np.ndarray, spans: np.ndarray):
        """
        Args:
            index: of the store.
            spans: (S,) of data.windows.SPAN_DTYPE, the frames that may be targets of training.
        """
        names, self._group = np.unique(index["group"], return_inverse=True)
        groups = np.unique(self._group[spans["trajectory"]])
        self._is_one_protein = len(groups) == 1
        self._numbers = np.array([group_id(str(name)) for name in names], np.int64)  # (groups,)
        if not self._is_one_protein:
            return
        block_names = [f"{names[groups[0]]}, block {block}" for block in range(_BLOCKS)]
        self._blocks = np.array([group_id(name) for name in block_names], np.int64)
        self._spans = spans[np.lexsort((spans["start"], spans["trajectory"]))]
        longest = int(index["num_frames"].max()) + 1
        self._longest, self._starts = longest, self._spans["trajectory"] * longest + self._spans["start"]

    def of(self, trajectory: np.ndarray, frame: np.ndarray) -> np.ndarray:
        """The part (P,) int64 of each frame of a trajectory, both (P,); NONE outside the frames of a single protein."""
        if not self._is_one_protein:
            return self._numbers[self._group[trajectory]]
        at = np.searchsorted(self._starts, trajectory * self._longest + frame, side="right") - 1
        span = self._spans[np.maximum(at, 0)]
        is_inside = (at >= 0) & (span["trajectory"] == trajectory) & (frame < span["stop"])
        block = (frame - span["start"]) * _BLOCKS // (span["stop"] - span["start"])
        return np.where(is_inside, self._blocks[np.where(is_inside, block, 0)], NONE)


class GatherWithParts(Gather):
    """A Gather whose batches say which part of the training each window leaves out: that of its last input frame."""

    def __init__(
        self, store: TrajectoryStore | JoinedStores, windows: Windows, past: int = 0, parts: TrainingParts | None = None
    ):
        """
        Args:
            parts: None leaves nothing out.
        """
        super().__init__(store, windows, past)
        self.parts = parts

    def __getstate__(self) -> dict[str, Any]:
        return {**super().__getstate__(), "parts": self.parts}

    def read(self, located: Located) -> Batch:
        batch = super().read(located)
        if self.parts is None:
            left_out = np.full(len(located.window_ids), NONE, np.int64)
        else:
            left_out = self.parts.of(located.trajectory, located.first_frame + self.windows.history - 1)
        batch["left_out"] = torch.from_numpy(left_out)
        return batch

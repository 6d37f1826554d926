"""Windows of the trajectories of a store, divided by a split."""

import difflib
from collections.abc import Sequence
from fnmatch import fnmatchcase
from typing import get_args

import numpy as np
import torch
from torch import Tensor

from emprot_core.contracts import DataSplit, Split
from emprot_core.data.batches import Gather
from emprot_core.data.loader import WindowLoader
from emprot_core.data.store import TrajectoryStore
from emprot_core.data.windows import SPAN_DTYPE, Windows, check_spans
from emprot_core.registry import register


@register("data")
class TrajectoryWindows:
    """The last `history` frames of every residue and its next `horizon` frames, from a trajectory store."""

    def __init__(
        self,
        store: str,
        history: int,
        horizon: int,
        split: DataSplit,
        stride: int = 1,
        batch_size: int = 4,
        eval_batch_size: int | None = None,
        trajectories: Sequence[str] | None = None,
        verify: bool = False,
    ):
        """
        Args:
            store: path of a store, or `sample:<vocabulary>`.
            history: K, frames the model reads.
            horizon: F, frames to predict.
            split: which frames may be targets of training, validation and test.
            stride: frames between successive windows.
            batch_size: windows of a micro-batch in training.
            eval_batch_size: windows of a batch in validation and test; batch_size where None.
            trajectories: names, or patterns such as "*_R1", of the trajectories to use; all where None.
            verify: check the SHA-256 of the store's files.

        Raises:
            StoreError: the store is missing or damaged.
            ValueError: a size is below 1, a name matches no trajectory, or the split does not fit the store.
        """
        self.store = TrajectoryStore(store, verify=verify)
        self.vocabulary = self.store.vocabulary
        self.digest = self.store.digest
        self.batch_size, self.eval_batch_size = batch_size, eval_batch_size
        chosen = _choose(self.store.index["name"], trajectories)
        self._num_frames = self.store.index["num_frames"][chosen]
        self.max_residues = int(self.store.index["num_residues"][chosen].max())
        spans = split.spans(self.store.index[chosen])
        self._windows: dict[str, Windows] = {}
        for name in get_args(Split):
            rows = np.array(spans.get(name, []), dtype=SPAN_DTYPE)
            check_spans(rows, self._num_frames)
            rows["trajectory"] = chosen[rows["trajectory"]]
            self._windows[name] = Windows(rows, self.store.index["num_frames"], history, horizon, stride)

    def num_windows(self, split: Split) -> int:
        """Windows of a split, over all ranks."""
        return len(self._windows[split])

    def loader(self, split: Split, seed: int = 0) -> WindowLoader:
        """The batches of a split; `seed` fixes the order of its epochs.

        Raises:
            ValueError: the split has no windows.
        """
        windows = self._windows[split]
        if not len(windows):
            raise ValueError(self._explain_no_windows(split, windows))
        return WindowLoader(Gather(self.store, windows), self.batch_size, seed, self.eval_batch_size)

    def all_windows(self, split: Split) -> WindowLoader:
        """Every window of a split once, in order, on every rank the same: what a baseline is fitted on.

        Raises:
            ValueError: the split has no windows.
        """
        return self.loader(split).unsharded()

    def class_counts(self) -> Tensor:
        """(C,) long: how often each class occurs in the frames of the training split that can be targets."""
        counts = np.zeros(self.vocabulary.num_clusters, np.int64)
        for trajectory, start, stop in self._windows["train"].target_spans().tolist():
            self.store.check_ids(trajectory)
            ids = self.store.ids(trajectory)[start:stop]
            counts += np.bincount(ids[ids >= 0], minlength=len(counts))
        return torch.from_numpy(counts)

    def _explain_no_windows(self, split: Split, windows: Windows) -> str:
        spans = windows.spans[:3].tolist()
        places = ", ".join(f"[{a}, {b}) of {self.store.index[t]['name']!s}" for t, a, b in spans) or "none"
        return (
            f"the {split} split has no windows: with a history of K={windows.history} and a horizon of "
            f"F={windows.horizon} frames, a window needs a target after K frames of its trajectory and inside a span; "
            f"got {len(self._num_frames)} trajectories of {self._num_frames.min()} to {self._num_frames.max()} frames, "
            f"{len(windows.spans)} spans of targets: {places}{', ...' if len(windows.spans) > 3 else ''}; "
            "lower history, or give the split more frames or trajectories"
        )


def _choose(names: np.ndarray, patterns: Sequence[str] | None) -> np.ndarray:
    """The rows (int) whose name matches any of the patterns, in the order of the store."""
    if patterns is None:
        return np.arange(len(names))
    if isinstance(patterns, str):
        raise ValueError(f"trajectories is the string {patterns!r}, expected a list of names: [{patterns!r}]")
    matches = {p: [i for i, name in enumerate(names.tolist()) if name == p or fnmatchcase(name, p)] for p in patterns}
    lost = [pattern for pattern, rows in matches.items() if not rows]
    if lost or not matches:
        near = difflib.get_close_matches(lost[0], names.tolist(), n=1) if lost else []
        hint = f"did you mean {near[0]!r}? " if near else ""
        shown = ", ".join(names[:8].tolist()) + (", ..." if len(names) > 8 else "")
        raise ValueError(
            f"no trajectory matches {', '.join(map(repr, lost)) or 'an empty list'}; {hint}"
            f"the store has {len(names)}: {shown}; correct TrajectoryWindows.trajectories"
        )
    return np.unique(np.concatenate(list(matches.values())))

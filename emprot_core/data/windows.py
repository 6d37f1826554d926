"""Windows of a split: counted, never listed.

A window is identified by its last history frame t. It reads the K frames t-K+1 .. t, which all lie in the trajectory
unless partial histories are allowed, and its targets are the F frames t+1 .. t+F. A split gives spans of frames that
may be targets. A window belongs to the split if at least one of its targets lies in a span; its other targets are
masked. So horizon h counts every window whose target at h lies in the span, and histories may read frames before it.
"""

import copy
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from emprot_core.contracts import Split
from emprot_core.data.order import EpochOrder, WeightedOrder, draws_of_epoch, one_of_each
from emprot_core.errors import EmprotError

SPAN_DTYPE = np.dtype([("trajectory", np.int64), ("start", np.int64), ("stop", np.int64)])
"""A run [start, stop) of frames of one trajectory that may be targets."""


class AllFrames:
    """A split of which every frame is a test target, for judging a model on all there is."""

    def spans(self, index: np.ndarray) -> dict[Split, np.ndarray]:
        """As contracts.DataSplit.spans."""
        rows = np.zeros(len(index), SPAN_DTYPE)
        rows["trajectory"], rows["stop"] = np.arange(len(index)), index["num_frames"]
        return {"test": rows}


class WindowPlaces(NamedTuple):
    """Where B windows lie."""

    trajectory: np.ndarray  # (B,) int64, row of the store's index
    last_frame: np.ndarray  # (B,) int64, t
    step_mask: np.ndarray  # (B, F) bool, True where target t+h lies in the window's span


class Windows:
    """All windows of a split, numbered span by span in the order of time."""

    def __init__(
        self,
        spans: np.ndarray,
        num_frames: np.ndarray,
        history: int,
        horizon: int,
        stride: int = 1,
        weights: np.ndarray | None = None,
        partial_history: bool = False,
    ):
        """
        Args:
            spans: (S,) of SPAN_DTYPE.
            num_frames: (trajectories,) frames of every trajectory of the store.
            history: K, frames of history.
            horizon: F, future steps.
            stride: frames between successive windows of a span.
            weights: (S,) how often a window of each span is drawn in an epoch of training. None means once.
            partial_history: whether windows need only one frame of history.

        Raises:
            EmprotError: a size is below 1, or a span lies outside its trajectory.
        """
        for name, size in {"history": history, "horizon": horizon, "stride": stride}.items():
            if size < 1:
                raise EmprotError(f"{name} is {size}, expected at least 1 frame; bind {name} to a positive number")
        self.history, self.horizon, self.stride = history, horizon, stride
        self.spans = np.asarray(spans, dtype=SPAN_DTYPE)
        check_spans(self.spans, num_frames)
        self._least_history = 1 if partial_history else history
        self._first = np.maximum(self._least_history - 1, self.spans["start"] - horizon)
        counts = np.maximum(0, (self.spans["stop"] - 2 - self._first) // stride + 1)
        self._ends = np.cumsum(counts)
        self._weights = weights
        self._sample: np.ndarray | None = None
        self.num_in_all = int(self._ends[-1]) if len(self._ends) else 0

    def __len__(self) -> int:
        return self.num_in_all if self._sample is None else len(self._sample)

    def sample(self, num_windows: int | None, seed: int) -> "Windows":
        """So many of these windows, spread evenly over trajectories and time, or all if there are no more (None: all).

        They keep their numbers. Each is taken once, whatever its weight.
        """
        if num_windows is None or len(self) <= num_windows:
            return self
        sampled = copy.copy(self)
        sampled._sample, sampled._weights = one_of_each(len(self), num_windows, seed), None
        return sampled

    def numbers(self, positions: np.ndarray) -> np.ndarray:
        """The numbers of the windows at these positions in [0, len) of the order of the data."""
        return positions if self._sample is None else self._sample[positions]

    @property
    def epoch_size(self) -> int:
        """Windows drawn in an epoch of training: all, or with weights round(sum of the weights of all windows)."""
        return len(self) if self._weights is None else draws_of_epoch(self._counts(), self._weights)

    def epoch_order(self, seed: int, epoch: int) -> EpochOrder | WeightedOrder:
        """The map from positions in [0, epoch_size) of an epoch to windows."""
        if self._weights is None:
            return EpochOrder(len(self), seed, epoch)
        return WeightedOrder(self._counts(), self._weights, seed, epoch)

    def locate(self, window_ids: np.ndarray) -> WindowPlaces:
        """The places of the windows with these numbers (B,) in [0, num_in_all). Each costs O(log spans)."""
        span = np.searchsorted(self._ends, window_ids, side="right")
        from_end = self._ends[span] - window_ids
        counts = self._ends[span] - np.where(span > 0, self._ends[span - 1], 0)
        last_frame = self._first[span] + (counts - from_end) * self.stride
        targets = last_frame[:, None] + np.arange(1, self.horizon + 1)
        spans = self.spans[span]
        step_mask = (targets >= spans["start"][:, None]) & (targets < spans["stop"][:, None])
        return WindowPlaces(spans["trajectory"], last_frame, step_mask)

    def _counts(self) -> np.ndarray:
        return np.diff(self._ends, prepend=0)

    def target_spans(self) -> np.ndarray:
        """The spans (SPAN_DTYPE), cut to frames with enough history. Spans that end up empty are left out."""
        spans = self.spans.copy()
        spans["start"] = np.maximum(spans["start"], self._least_history)
        return spans[spans["start"] < spans["stop"]]


def check_apart(spans: Mapping[Split, np.ndarray], names: np.ndarray) -> None:
    """Raise EmprotError if a frame is a target twice. spans: SPAN_DTYPE by split; names: (trajectories,)."""
    rows = np.concatenate([np.asarray(each, SPAN_DTYPE) for each in spans.values()])
    order = np.lexsort((rows["start"], rows["trajectory"]))
    is_same = rows["trajectory"][order[1:]] == rows["trajectory"][order[:-1]]
    wrong = np.flatnonzero(is_same & (rows["start"][order[1:]] < rows["stop"][order[:-1]]))
    if len(wrong):
        places = order[wrong[0] : wrong[0] + 2]
        before, after = rows[places]
        ends = np.cumsum([len(each) for each in spans.values()])
        one, other = (list(spans)[np.searchsorted(ends, place, side="right")] for place in places)
        raise EmprotError(
            f"frames {after['start']} to {min(before['stop'], after['stop']) - 1} of "
            f"{names[after['trajectory']]!s} are targets twice, in {one} and in {other}; a frame may be a target once: "
            "correct the split"
        )


def check_spans(spans: np.ndarray, num_frames: np.ndarray) -> None:
    """Raise EmprotError if a span (SPAN_DTYPE) lies outside its trajectory; num_frames: (trajectories,)."""
    known = (spans["trajectory"] >= 0) & (spans["trajectory"] < len(num_frames))
    frames = np.where(known, num_frames[np.where(known, spans["trajectory"], 0)], 0)
    wrong = np.flatnonzero((spans["start"] < 0) | (spans["stop"] > frames))
    if len(wrong):
        trajectory, start, stop = (int(v) for v in spans[wrong[0]])
        raise EmprotError(
            f"the split gives the span [{start}, {stop}) of trajectory {trajectory}, which has {frames[wrong[0]]} "
            "frames; a span must lie inside its trajectory: correct the split component"
        )

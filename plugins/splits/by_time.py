"""Splits by time: training on the early frames of every trajectory, validation and test on the later ones."""

import numpy as np

from emprot_core.contracts import Split
from emprot_core.data.windows import SPAN_DTYPE
from emprot_core.errors import EmprotError
from emprot_core.registry import register


@register("split")
class ByTime:
    """Divides each trajectory's frames by fractions, in the order train, validation, test.

    Boundaries are rounded to the nearest frame: 250 frames by .7, .1, .2 are 175, 25 and 50. Fractions may add up
    to less than 1; the last frames are then unused.
    """

    def __init__(self, train: float = 0.7, validation: float = 0.1, test: float = 0.2, gap: int = 0):
        """
        Args:
            train, validation, test: fractions of each trajectory's frames.
            gap: frames left out at the start of validation and of test, so that their targets are more than `gap`
                frames after the targets of the split before.

        Raises:
            EmprotError: a fraction is negative, they add up to more than 1, or gap is negative.
        """
        fractions = (train, validation, test)
        if min(fractions) < 0 or sum(fractions) > 1 + 1e-9:
            raise EmprotError(
                f"train, validation and test are {fractions}, expected fractions that add up to 1 or less"
            )
        if gap < 0:
            raise EmprotError(f"gap is {gap}, expected 0 or more frames")
        self.fractions, self.gap = fractions, gap

    def spans(self, index: np.ndarray) -> dict[Split, np.ndarray]:
        """The spans of targets of each split; see contracts.DataSplit."""
        frames = index["num_frames"].astype(np.int64)
        train, validation, test = (
            np.floor(frames * part + 0.5 + 1e-9).astype(np.int64) for part in np.cumsum(self.fractions)
        )
        return {
            "train": _spans(np.zeros_like(train), train),
            "validation": _spans(train + self.gap, validation),
            "test": _spans(validation + self.gap, np.minimum(test, frames)),
        }


def _spans(start: np.ndarray, stop: np.ndarray) -> np.ndarray:
    spans = np.empty(len(start), SPAN_DTYPE)
    spans["trajectory"], spans["start"], spans["stop"] = np.arange(len(start)), start, stop
    return spans[start < stop]

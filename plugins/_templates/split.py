"""A split: which frames of which trajectory may be targets of training, validation and test."""

import numpy as np

from emprot_core import register
from emprot_core.contracts import Split
from emprot_core.data.windows import SPAN_DTYPE


@register("split")
class TemplateSplit:
    """The first frames of every trajectory for training, the next for validation, the rest for the test."""

    def __init__(self, train: float = 0.6, validation: float = 0.2):
        """
        Args:
            train, validation: shares of the frames of each trajectory.
        """
        self.train, self.validation = train, validation

    def spans(self, index: np.ndarray) -> dict[Split, np.ndarray]:
        """Rows (trajectory, start, stop); frames start to stop - 1 may be targets."""
        rows: dict[Split, list[tuple[int, int, int]]] = {"train": [], "validation": [], "test": []}
        for row, frames in enumerate(index["num_frames"].tolist()):
            ends = [0, round(self.train * frames), round((self.train + self.validation) * frames), frames]
            for split, start, stop in zip(rows, ends, ends[1:], strict=False):
                rows[split].append((row, start, stop))
        return {split: np.array(spans, SPAN_DTYPE) for split, spans in rows.items()}

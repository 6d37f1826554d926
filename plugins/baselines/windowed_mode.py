"""Every residue takes the commonest ID of its own history."""

import numpy as np

from emprot_core.batch import MISSING_ID
from emprot_core.registry import register

from .point_forecast import PointForecast


@register("baseline", "windowed_mode")
class WindowedMode(PointForecast):
    """y = the commonest ID of the window (on ties the most recent), or the commonest target if it has none."""

    name = "windowed_mode"

    def __init__(self, window: int | None = None):
        """
        Args:
            window: how many of the last frames of a batch it reads; None reads all.
        """
        self.window = window

    def _ids(self, history: np.ndarray) -> np.ndarray:
        history = history[:, -(self.window or 0) :]
        ids = np.full((history.shape[0], history.shape[2]), MISSING_ID)
        most = np.zeros_like(ids)
        for frame in history.swapaxes(0, 1)[::-1]:  # most recent first: on ties the older ID must not win
            seen = np.where(frame >= 0, (history == frame[:, None]).sum(axis=1), 0)
            ids, most = np.where(seen > most, frame, ids), np.maximum(seen, most)
        return ids

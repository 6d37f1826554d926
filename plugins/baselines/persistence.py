"""Every residue stays as it is."""

import numpy as np

from emprot_core.data.history import last_known
from emprot_core.registry import register

from .point_forecast import PointForecast


@register("baseline", "persistence")
class Persistence(PointForecast):
    """y = the last known ID of the window, or the commonest training target if the window has none."""

    name = "persistence"

    def _ids(self, history: np.ndarray) -> np.ndarray:
        return last_known(history)

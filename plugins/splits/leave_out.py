"""A split that leaves out whole proteins for the test, and validates on the last frames of the others."""

from collections.abc import Sequence

import numpy as np

from emprot_core.contracts import Split
from emprot_core.errors import EmprotError
from emprot_core.registry import register

from .by_group import check_known, whole
from .by_time import ByTime


@register("split")
class LeaveOut:
    """All frames of some groups (proteins) are tested; of every other trajectory the last frames are validated.

    `emprot-run --repeat groups` binds `test` to one group after the other.
    """

    def __init__(self, test: str | Sequence[str] = (), validation: float = 0.15):
        """
        Args:
            test: names of groups.
            validation: fraction of the frames of every other trajectory.

        Raises:
            EmprotError: validation lies outside [0, 1).
        """
        if not 0 <= validation < 1:
            raise EmprotError(f"validation is {validation}, expected 0 or more and less than 1")
        self.test = (test,) if isinstance(test, str) else tuple(test)
        self._by_time = ByTime(1 - validation, validation, 0.0)

    def spans(self, index: np.ndarray) -> dict[Split, np.ndarray]:
        """The spans of targets of each split; see contracts.DataSplit.

        Raises:
            EmprotError: there is no such group, or none is left to train on.
        """
        groups = np.unique(index["group"]).tolist()
        for name in self.test:
            check_known(name, groups)
        is_tested = np.isin(index["group"], self.test)
        if is_tested.all():
            raise EmprotError(f"LeaveOut.test names every group ({', '.join(groups)}), so none is left to train on")
        spans = self._by_time.spans(index)
        kept = {split: own[~is_tested[own["trajectory"]]] for split, own in spans.items()}
        return {**kept, "test": whole(index, np.flatnonzero(is_tested))}

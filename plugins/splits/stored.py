"""The split that was written into a store when it was prepared, so that every run uses the same."""

from collections.abc import Sequence
from typing import get_args

import numpy as np

from emprot_core.contracts import Split
from emprot_core.data.joined_stores import open_stores
from emprot_core.data.windows import SPAN_DTYPE
from emprot_core.errors import EmprotError
from emprot_core.registry import register


@register("split", "Stored")
class StoredSplit:
    """Reads the spans of targets that Prepare.split wrote into a store; trajectories are matched by name."""

    def __init__(self, store: str | Sequence[str]):
        """
        Args:
            store: path of the store, or paths of several: those of training, or others with the same trajectories.

        Raises:
            StoreError: the store is missing or damaged, or holds no split.
        """
        opened = open_stores(store)
        self._names = opened.index["name"]
        self._spans = {split: opened.split_spans(split) for split in get_args(Split)}

    def spans(self, index: np.ndarray) -> dict[Split, np.ndarray]:
        """The spans of targets of each split; see contracts.DataSplit.

        Raises:
            EmprotError: the index has a trajectory that the store lacks.
        """
        if np.array_equal(index["name"], self._names):
            return dict(self._spans)
        places = self._places(index["name"].tolist())
        return {split: _select(spans, places) for split, spans in self._spans.items()}

    def _places(self, names: list[str]) -> np.ndarray:
        """For each trajectory of the store its row in the index, or -1 if the index lacks it."""
        ours, row_of = self._names.tolist(), {name: row for row, name in enumerate(names)}
        if unknown := sorted(set(names) - set(ours)):
            shown = ", ".join(ours[:4]) + (", ..." if len(ours) > 4 else "")
            raise EmprotError(
                f"the stored split has no trajectory {unknown[0]!r}, but {shown}; bind Stored.store to the stores of "
                "TrajectoryWindows, or to others of the same trajectories"
            )
        return np.array([row_of.get(name, -1) for name in ours])


def _select(spans: np.ndarray, places: np.ndarray) -> np.ndarray:
    moved = np.array(spans, dtype=SPAN_DTYPE)
    moved["trajectory"] = places[moved["trajectory"]]
    return moved[moved["trajectory"] >= 0]

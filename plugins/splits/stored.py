"""The split that was written into a store when it was prepared, so that every run uses the same."""

from typing import get_args

import numpy as np

from emprot_core.contracts import Split
from emprot_core.data.store import TrajectoryStore, split_array
from emprot_core.data.windows import SPAN_DTYPE
from emprot_core.registry import register


@register("split", "Stored")
class StoredSplit:
    """Spans of targets kept in a store by Prepare.split; trajectories are matched by name."""

    def __init__(self, store: str):
        """
        Args:
            store: path of the store: the one that is trained on, or another one of the same trajectories.

        Raises:
            StoreError: the store is missing or damaged, or keeps no split.
        """
        opened = TrajectoryStore(store)
        self._names = opened.index["name"].tolist()
        self._spans = {split: opened.array(split_array(split)) for split in get_args(Split)}

    def spans(self, index: np.ndarray) -> dict[Split, np.ndarray]:
        """The spans of targets of each split; see contracts.DataSplit.

        Raises:
            ValueError: the index has a trajectory that the store has not.
        """
        row_of = {name: row for row, name in enumerate(index["name"].tolist())}
        if unknown := sorted(set(row_of) - set(self._names)):
            raise ValueError(f"the stored split has no trajectory {unknown[0]!r}; give Stored.store its own store")
        places = np.array([row_of.get(name, -1) for name in self._names])
        return {split: _select(spans, places) for split, spans in self._spans.items()}


def _select(spans: np.ndarray, places: np.ndarray) -> np.ndarray:
    moved = np.array(spans, dtype=SPAN_DTYPE)
    moved["trajectory"] = places[moved["trajectory"]]
    return moved[moved["trajectory"] >= 0]

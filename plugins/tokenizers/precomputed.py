"""IDs that the user brings."""

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from emprot_core.contracts import Structure
from emprot_core.registry import register


@register("tokenizer", "precomputed")
class Precomputed:
    """The cluster IDs that a reader of IDs gives (readers.ids_npy, readers.lmdb_frames), as they are."""

    def __init__(self, num_clusters: int, name: str = "precomputed", classes: str = ""):
        """
        Args:
            num_clusters: C. It is never taken from the data: the largest ID of a sample is not the last class.
            name: of the vocabulary and its store.
            classes: what the classes are, for the record: a file of centroids, a paper.
        """
        self.num_clusters, self.name, self.classes = num_clusters, name, classes

    def fit(self, structures: Iterable[Structure]) -> None:
        """The vocabulary is given: does nothing."""

    def encode(self, structure: Structure) -> np.ndarray:
        """(frames, residues) int, the reader's.

        Raises:
            ValueError: the reader gives no IDs.
        """
        if structure.cluster_ids is None:
            raise ValueError("the reader gives coordinates and no cluster IDs; bind a tokenizer that makes them")
        return structure.cluster_ids

    def description(self) -> Mapping[str, Any]:
        """The name, and what the classes are."""
        return {"name": self.name, "num_clusters": self.num_clusters, "classes": self.classes}

    def arrays(self) -> Mapping[str, np.ndarray]:
        """Nothing is learnt."""
        return {}

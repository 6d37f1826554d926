"""Cluster IDs that the user provides."""

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from emprot_core.contracts import Structure
from emprot_core.errors import EmprotError
from emprot_core.registry import register


@register("tokenizer", "precomputed")
class Precomputed:
    """Passes on the cluster IDs that a reader gives (readers.ids_npy, readers.lmdb_frames), unchanged."""

    def __init__(self, num_clusters: int, name: str = "precomputed", classes: str = ""):
        """
        Args:
            num_clusters: C. It is never taken from the data, where the largest ID need not be the last class.
            name: name of the vocabulary and its store.
            classes: what the classes are, for the record, such as a file of centroids or a paper.
        """
        self.num_clusters, self.name, self.classes = num_clusters, name, classes

    def fit(self, structures: Iterable[Structure]) -> None:
        """Do nothing, because the vocabulary is given."""

    def encode(self, structure: Structure) -> np.ndarray:
        """The IDs (frames, residues) int of the reader.

        Raises:
            EmprotError: the reader gives no IDs.
        """
        if structure.cluster_ids is None:
            raise EmprotError("the reader gives coordinates and no cluster IDs; bind a tokenizer that makes them")
        return structure.cluster_ids

    def description(self) -> Mapping[str, Any]:
        """The name, and what the classes are."""
        return {"name": self.name, "num_clusters": self.num_clusters, "classes": self.classes}

    def arrays(self) -> Mapping[str, np.ndarray]:
        """No arrays: nothing is learnt."""
        return {}

"""The table of cluster embeddings, learned from scratch or started from the clusters' centroids."""

from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from emprot_core.errors import EmprotError


class ClusterTable(nn.Module):
    """Embeds cluster IDs; row C, one past the last cluster, stands for a missing ID.

    With a lookup (C, E) the table starts from the centroids, standardised to the scale of a fresh table. If
    E differs from D, a learned projection follows.
    """

    def __init__(self, num_clusters: int, d_embed: int, lookup: str | Path | np.ndarray | Tensor | None = None):
        """
        Raises:
            EmprotError: the lookup cannot be read, or does not hold one finite row per cluster.
        """
        super().__init__()
        self.num_clusters = num_clusters
        std = d_embed**-0.5
        centroids = None if lookup is None else _load_lookup(lookup, num_clusters)
        width = d_embed if centroids is None else centroids.shape[1]
        self.rows = nn.Embedding(num_clusters + 1, width)
        nn.init.normal_(self.rows.weight, std=std)
        self.projection = nn.Linear(width, d_embed, bias=False) if width != d_embed else None
        if centroids is not None:
            scaled = (centroids - centroids.mean(0)) / centroids.std().clamp_min(1e-12)
            # The projection below keeps the std of the rows, so that tokens have the std of a fresh table either way.
            self.rows.weight.data[:num_clusters] = scaled * std
        if self.projection is not None:
            nn.init.normal_(self.projection.weight, std=width**-0.5)

    def forward(self, ids: Tensor) -> Tensor:
        """The embeddings (..., D) of IDs (...), long in [0, C]; C means missing."""
        return self._project(self.rows(ids))

    def classes(self) -> Tensor:
        """(C, D): the embeddings of the clusters, without the row for missing IDs."""
        return self._project(self.rows.weight[: self.num_clusters])

    def _project(self, rows: Tensor) -> Tensor:
        return rows if self.projection is None else self.projection(rows)


def _load_lookup(lookup: str | Path | np.ndarray | Tensor, num_clusters: int) -> Tensor:
    if isinstance(lookup, str | Path):
        lookup = _read_lookup(Path(lookup))
    centroids = torch.as_tensor(lookup, dtype=torch.float32)
    if centroids.ndim != 2 or len(centroids) != num_clusters or not centroids.isfinite().all():
        finite = "" if centroids.isfinite().all() else " with values that are not finite"
        raise EmprotError(
            f"cluster_lookup has shape {tuple(centroids.shape)}{finite}, expected ({num_clusters}, E) finite numbers: "
            "one centroid per cluster; use the vocabulary's own centroids"
        )
    return centroids


def _read_lookup(path: Path) -> np.ndarray:
    try:
        return np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:  # what numpy raises if the file is not an array
        raise EmprotError(
            f"cluster_lookup = {str(path)!r} cannot be read ({error}); give an .npy file of one centroid per cluster"
        ) from error

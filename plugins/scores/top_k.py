"""Top-k accuracy."""

import numpy as np
from torch import Tensor

from emprot_core.batch import Batch
from emprot_core.errors import EmprotError
from emprot_core.registry import register

from .tokens import Values, means, over_ranks, tokens_of


@register("score")
class TopK:
    """The share of targets that are among the k most probable classes; higher is better."""

    def __init__(self, k: int = 5):
        """
        Args:
            k: how many classes.

        Raises:
            EmprotError: k is below 1.
        """
        if k < 1:
            raise EmprotError(f"k is {k}, expected 1 or more classes")
        self.k = k

    def start(self, num_clusters: int, horizon: int) -> None:
        self._k = min(self.k, num_clusters)
        self._sums = np.zeros((2, horizon))

    def add(self, probabilities: Tensor, batch: Batch) -> None:
        for tokens in tokens_of(probabilities, batch):
            best = tokens.probabilities.topk(self._k, dim=-1).indices
            hits = (best == tokens.targets[:, None]).any(dim=-1)
            self._sums[:, tokens.step] += int(hits.sum()), len(hits)

    def result(self) -> dict[str, Values]:
        """top<k>: 0 to 1."""
        return {f"top{self.k}": means(*over_ranks(self._sums))}

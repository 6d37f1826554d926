"""A proper score that knows near misses: the energy score over the distances between the centroids of the classes."""

import numpy as np
import torch
from torch import Tensor

from emprot_core.batch import Batch
from emprot_core.contracts import Data, HasVocabularyArrays
from emprot_core.registry import register

from .tokens import Values, means, over_ranks, tokens_of

MOST_CLASSES = 4096  # of more the distances would take gigabytes, and a score hours


@register("score")
class EnergyScore:
    """E d(Y, y) - E d(Y, Y') / 2 of a forecast Y, Y' and the target y; lower is better.

    d is the Euclidean distance between the centroids of two classes, each feature divided by the scale that the
    vocabulary keeps for it: the distance in which the classes were made (Gneiting and Raftery 2007, Strictly proper
    scoring rules). There is none for a vocabulary without centroids, or with more than 4,096 classes.
    """

    def __init__(self) -> None:
        self._distances: Tensor | None = None

    def use_data(self, data: Data, training: Data | None) -> None:
        centroids = data.vocabulary_array("centroids") if isinstance(data, HasVocabularyArrays) else None
        if centroids is None or len(centroids) > MOST_CLASSES:
            return
        scales = data.vocabulary_array("scales") if isinstance(data, HasVocabularyArrays) else None
        points = torch.from_numpy(np.array(centroids, np.float64) / (1.0 if scales is None else np.array(scales)))
        self._distances = torch.cdist(points, points).float()

    def start(self, num_clusters: int, horizon: int) -> None:
        self._sums = np.zeros((2, horizon))

    def add(self, probabilities: Tensor, batch: Batch) -> None:
        if self._distances is None:
            return
        for tokens in tokens_of(probabilities, batch):
            expected = tokens.probabilities @ self._distances  # (P, C): E d(Y, y) for every y
            to_target = expected.gather(1, tokens.targets[:, None])[:, 0]
            spread = torch.linalg.vecdot(expected, tokens.probabilities)
            self._sums[:, tokens.step] += float((to_target - spread / 2).double().sum()), len(spread)

    def result(self) -> dict[str, Values]:
        """energy_score: 0 or more, in the units of the scaled features; None where there is none."""
        return {"energy_score": means(*over_ranks(self._sums))}

"""Scores of the kind `score` for every forecaster that gives probabilities, in the pass that counts the NLL."""

import copy
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from emprot_core.batch import Batch
from emprot_core.contracts import Data, Forecaster, GivesProbabilities, Score, UsesData
from emprot_core.errors import EmprotError

_NUMBERS_AT_ONCE = 1 << 26  # probabilities; 256 MB in float32


class FurtherScores:
    """Gives batches and probabilities to copies of the scores, one for each forecaster."""

    def __init__(
        self, scores: Sequence[Score], forecasters: Mapping[str, Forecaster], num_clusters: int, horizon: int
    ) -> None:
        self._horizon, self._num_clusters = horizon, num_clusters
        self._forecasters = {
            name: each for name, each in forecasters.items() if scores and isinstance(each, GivesProbabilities)
        }
        self._scores = {name: copy.deepcopy(list(scores)) for name in self._forecasters}
        for each in (score for own in self._scores.values() for score in own):
            each.start(num_clusters, horizon)

    def add(self, batch: Batch) -> None:
        """Add a batch, as many windows at a time as memory allows."""
        for part in self._parts(batch) if self._forecasters else ():
            for name, forecaster in self._forecasters.items():
                probabilities = self._probabilities(forecaster, part)
                for score in self._scores[name]:
                    score.add(probabilities, part)

    def result(self) -> dict[str, dict[str, list[Any]]]:
        """By forecaster the values of every score, by name.

        Raises:
            EmprotError: two scores give a value of the same name.
        """
        results: dict[str, dict[str, list[Any]]] = {}
        for name, scores in self._scores.items():
            found = results[name] = {}
            for score in scores:
                values = score.result()
                if twice := found.keys() & values.keys():
                    raise EmprotError(f"two scores give {min(twice)!r}; list each score once, or rename what it gives")
                found |= values
        return results

    def _parts(self, batch: Batch) -> Iterator[Batch]:
        num_windows, horizon, num_residues = batch["future_cluster_ids"].shape
        rows = max(1, _NUMBERS_AT_ONCE // (horizon * num_residues * self._num_clusters))
        if rows >= num_windows:
            yield batch
            return
        for start in range(0, num_windows, rows):
            cut = {key: value[start : start + rows] for key, value in batch.items() if isinstance(value, Tensor)}
            yield cut  # type: ignore[misc]

    def _probabilities(self, forecaster: GivesProbabilities, batch: Batch) -> Tensor:
        """(B, F, N, C) float32."""
        shape = (*batch["future_cluster_ids"].shape, self._num_clusters)
        probabilities = torch.empty(shape)
        for step in range(self._horizon):
            given = forecaster.probabilities(batch, step + 1)
            probabilities[:, step] = torch.from_numpy(given.astype(np.float32, copy=False))
        return probabilities


def tell_of_data(scores: Sequence[Score], data: Data, training: Data | None) -> None:
    """Give the data to the scores that want to know more than the batches tell."""
    for score in scores:
        if isinstance(score, UsesData):
            score.use_data(data, training)

"""Whether probabilities mean what they say."""

from typing import Any

import numpy as np
import torch
from torch import Tensor

from emprot_core.batch import Batch
from emprot_core.errors import EmprotError
from emprot_core.registry import register

from .tokens import means, over_ranks, tokens_of


@register("score")
class Calibration:
    """The expected calibration error (ECE) of the most probable class, its reliability table, and the Brier score.

    ECE is the mean over all targets of |accuracy - mean confidence| of the bin that a target is in (Guo et al. 2017, On
    calibration of modern neural networks). The Brier score is the sum over the classes of (p(y) - [y is the target])^2
    (Brier 1950). Lower is better for both.
    """

    def __init__(self, num_bins: int = 15):
        """
        Args:
            num_bins: bins of equal width between 0 and 1.

        Raises:
            EmprotError: there are fewer than 1.
        """
        if num_bins < 1:
            raise EmprotError(f"num_bins is {num_bins}, expected 1 or more")
        self.num_bins = num_bins

    def start(self, num_clusters: int, horizon: int) -> None:
        self._bins = np.zeros((3, horizon, self.num_bins))  # sums of confidence, of hits, and counts
        self._brier = np.zeros(horizon)

    def add(self, probabilities: Tensor, batch: Batch) -> None:
        for tokens in tokens_of(probabilities, batch):
            confidence, best = tokens.probabilities.max(dim=-1)
            confidence = confidence.double()
            bins = (confidence * self.num_bins).ceil().long().clamp(1, self.num_bins) - 1
            for row, values in zip(
                self._bins, (confidence, best == tokens.targets, torch.ones(len(bins))), strict=True
            ):
                row[tokens.step] += torch.bincount(bins, values.double(), self.num_bins).numpy()
            squares = torch.linalg.vecdot(tokens.probabilities, tokens.probabilities).double()
            self._brier[tokens.step] += float((squares - 2 * tokens.of(tokens.targets).double() + 1).sum())

    def result(self) -> dict[str, list[Any]]:
        """ece: 0 to 1. brier: 0 to 2. reliability: rows [mean confidence, accuracy, count] of the bins in use."""
        bins, brier = over_ranks(self._bins), over_ranks(self._brier)
        confidence, hits, counts = bins
        gaps, totals = np.abs(confidence - hits).sum(axis=-1), counts.sum(axis=-1)
        tables = []
        for own in bins.transpose(1, 2, 0):
            used = own[own[:, 2] > 0]
            tables.append([[c / n, h / n, int(n)] for c, h, n in used.tolist()])
        return {"ece": means(gaps, totals), "brier": means(brier, totals), "reliability": tables}

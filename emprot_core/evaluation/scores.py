"""Scores for each horizon, counted in the same way for a model and for the baselines beside it."""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import torch

from emprot_core.batch import Batch, target_mask
from emprot_core.contracts import Prediction
from emprot_core.data.history import last_known, observed_history
from emprot_core.distributed import is_distributed, sum_over_ranks
from emprot_core.evaluation.further_scores import FurtherScores
from emprot_core.evaluation.token_scores import TokenScores

Forecaster = Callable[[Batch], Prediction]
Scores = dict[str, Any]
"""{"nll_bits": [F] or None, "accuracy": [F], "accuracy_changed": [F]}, None where nothing was counted."""

_ROWS = ("nll_nats", "nll_count", "hits", "count", "changed_hits", "changed_count")


class HorizonScores:
    """Adds up the scores of one forecaster over batches, separately for each horizon, in float64."""

    def __init__(self, horizon: int):
        self._sums = {row: np.zeros(horizon) for row in _ROWS}

    def add(self, prediction: Prediction, targets: np.ndarray, mask: np.ndarray, changed: np.ndarray) -> None:
        """Add the scores of a batch.

        Args:
            targets: (B, F, N) int.
            mask: (B, F, N) bool, the target mask M.
            changed: (B, F, N) bool, True where the target differs from the last observed ID.
        """
        hits = prediction.predicted == targets
        terms = {"hits": hits & mask, "count": mask, "changed_hits": hits & changed, "changed_count": changed}
        if prediction.nll_nats is not None:
            terms |= {"nll_nats": np.where(mask, prediction.nll_nats, 0.0), "nll_count": mask}
        for row, values in terms.items():
            self._sums[row] += values.sum(axis=(0, 2), dtype=np.float64)

    def result(self, device: torch.device | None = None) -> Scores:
        """The means over all batches and ranks. All ranks must call it; they exchange sums on `device`."""
        sums = torch.from_numpy(np.stack([self._sums[row] for row in _ROWS]))
        if is_distributed():
            sums = sums.to(device)
        total = dict(zip(_ROWS, sum_over_ranks(sums).cpu().numpy(), strict=True))
        nll_bits = _means(total["nll_nats"] / math.log(2), total["nll_count"])
        return {
            "nll_bits": nll_bits if total["nll_count"].any() else None,
            "accuracy": _means(total["hits"], total["count"]),
            "accuracy_changed": _means(total["changed_hits"], total["changed_count"]),
        }


def score(
    forecasters: Mapping[str, Forecaster],
    batches: Iterable[Batch],
    horizon: int,
    device: torch.device | None = None,
    tokens: Sequence[TokenScores] = (),
    further: FurtherScores | None = None,
) -> dict[str, Scores]:
    """The scores of each forecaster, by name, in one pass over the batches of this rank.

    Args:
        horizon: F of the batches.
        device: where ranks exchange sums. None means the CPU.
        tokens: each gets the NLL of every token of the forecasters that give one.
        further: adds its own scores to those of the forecasters.
    """
    scores = {name: HorizonScores(horizon) for name in forecasters}
    for batch in batches:
        targets = batch["future_cluster_ids"].cpu().numpy()
        mask = target_mask(batch).cpu().numpy()
        last = last_known(observed_history(batch))[:, None]
        changed = mask & (last >= 0) & (targets != last)
        predictions = {name: forecast(batch) for name, forecast in forecasters.items()}
        for name, prediction in predictions.items():
            scores[name].add(prediction, targets, mask, changed)
        nats = {name: each.nll_nats for name, each in predictions.items() if each.nll_nats is not None}
        bits = {name: values / math.log(2) for name, values in nats.items()}
        for each in tokens:
            each.add(batch, mask, bits)
        if further is not None:
            further.add(batch)
    more = {} if further is None else further.result()
    return {name: each.result(device) | more.get(name, {}) for name, each in scores.items()}


def _means(sums: np.ndarray, counts: np.ndarray) -> list[float | None]:
    return [float(s / n) if n else None for s, n in zip(sums, counts, strict=True)]

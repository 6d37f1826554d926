"""Whether a forecast knows which residues change often."""

import numpy as np
import torch
from torch import Tensor

from emprot_core.batch import Batch, target_mask
from emprot_core.contracts import Data
from emprot_core.data.history import last_known, observed_history
from emprot_core.distributed import gather
from emprot_core.registry import register

from .tokens import Values

_PREDICTED, _OBSERVED, _COUNT = range(3)


class Rates:
    """Sums of change, foreseen and observed, for each protein: (3, F, N)."""

    def __init__(self) -> None:
        self.sums: dict[int, np.ndarray] = {}

    def add(self, batch: Batch, kept: np.ndarray | None = None) -> None:
        """Add a batch; kept: (B, F, N) p(x[t]), if a forecast is scored."""
        last = last_known(observed_history(batch))[:, None]
        mask = target_mask(batch).numpy() & (last >= 0)
        changed = mask & (batch["future_cluster_ids"].numpy() != last)
        foreseen = np.zeros(mask.shape) if kept is None else np.where(mask, 1.0 - kept, 0.0)
        groups = batch["group_ids"].numpy() if "group_ids" in batch else np.zeros(len(mask), np.int64)
        for group in np.unique(groups).tolist():
            rows = groups == group
            own = np.stack([values[rows].sum(axis=0, dtype=np.float64) for values in (foreseen, changed, mask)])
            self.merge(group, own)

    def merge(self, group: int, own: np.ndarray) -> None:
        """Add sums of a protein, which may have fewer residues in them because of padding, or more."""
        known = self.sums.get(group)
        if known is not None:
            width = max(known.shape[2], own.shape[2])
            own, known = (np.pad(each, ((0, 0), (0, 0), (0, width - each.shape[2]))) for each in (own, known))
            own = own + known
        self.sums[group] = own


@register("score")
class ChangeRates:
    """Spearman's correlation over the residues between the change probability of a forecast and the observed rate.

    Beside it stands the bar that costs nothing: the change rates of the same residues in training. Higher is better.
    With several proteins it is the mean over them. It is a change rate of classes, which is not mobility.
    """

    def __init__(self) -> None:
        self._training: Rates | None = None

    def use_data(self, data: Data, training: Data | None) -> None:
        if training is not None and training.num_windows("train"):
            self._training = Rates()
            for batch in training.all_windows("train"):
                self._training.add(batch)

    def start(self, num_clusters: int, horizon: int) -> None:
        self._rates, self._horizon = Rates(), horizon

    def add(self, probabilities: Tensor, batch: Batch) -> None:
        last = torch.from_numpy(last_known(observed_history(batch))).clamp(min=0)
        index = last[:, None, :, None].expand(-1, probabilities.shape[1], -1, -1)
        self._rates.add(batch, probabilities.gather(-1, index)[..., 0].numpy())

    def result(self) -> dict[str, Values]:
        """change_rate_spearman, change_rate_spearman_training: -1 to 1; None without three residues or training."""
        rates = Rates()
        for part in gather(self._rates.sums):
            for group, sums in part.items():
                rates.merge(group, sums)
        own: list[list[float]] = [[] for _ in range(self._horizon)]
        bar: list[list[float]] = [[] for _ in range(self._horizon)]
        for group, sums in rates.sums.items():
            known = None if self._training is None else self._training.sums.get(group)
            for step in range(self._horizon):
                own[step] += _correlation(sums[_PREDICTED, step], sums[_COUNT, step], sums[:, step])
                if known is not None:
                    bar[step] += _correlation(known[_OBSERVED, step], known[_COUNT, step], sums[:, step])
        return {"change_rate_spearman": _means(own), "change_rate_spearman_training": _means(bar)}


def _correlation(foreseen: np.ndarray, counts: np.ndarray, scored: np.ndarray) -> list[float]:
    """Spearman's correlation of a protein, in a list; an empty one where it does not exist.

    Args:
        foreseen, counts: (N,) sums of change and of tokens that are held against the observed rates.
        scored: (3, N) sums of what was scored.
    """
    width = min(len(counts), scored.shape[1])
    counted = (counts[:width] > 0) & (scored[_COUNT, :width] > 0)
    if counted.sum() < 3:
        return []
    one = _ranks(foreseen[:width][counted] / counts[:width][counted])
    other = _ranks(scored[_OBSERVED, :width][counted] / scored[_COUNT, :width][counted])
    if one.std() == 0 or other.std() == 0:
        return []
    return [float(np.corrcoef(one, other)[0, 1])]


def _ranks(values: np.ndarray) -> np.ndarray:
    """Ranks from 0 on; equal values share the mean of theirs."""
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    ends = np.cumsum(counts)
    return ((ends - counts + ends - 1) / 2)[inverse]


def _means(values: list[list[float]]) -> Values:
    return [float(np.mean(each)) if each else None for each in values]

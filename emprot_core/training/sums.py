"""Metrics as sums and weights, added over batches and divided once."""

import torch
from torch import Tensor

from emprot_core.distributed import sum_over_ranks
from emprot_core.training.forward_loss import MetricTerms


class MetricSums:
    """Adds (sum, weight) pairs in float64 on their device; `means` is the only place that waits for it."""

    def __init__(self) -> None:
        self._sums: dict[str, Tensor] = {}

    def add(self, terms: MetricTerms) -> None:
        for name, (total, weight) in terms.items():
            pair = torch.stack([total.double(), weight.double()])
            known = self._sums.get(name)
            self._sums[name] = pair if known is None else known + pair

    def weight(self, name: str) -> float:
        """The weight of a metric on this rank."""
        return float(self._sums[name][1].sum())

    def means(self, prefix: str = "") -> dict[str, float]:
        """sum / weight over all ranks; a metric per horizon becomes name/h1, name/h2, ..."""
        if not self._sums:
            return {}
        packed = sum_over_ranks(torch.cat([pair.reshape(2, -1) for pair in self._sums.values()], dim=1))
        values = iter((packed[0] / packed[1]).tolist())
        means = {}
        for name, pair in self._sums.items():
            tags = [name] if pair.ndim == 1 else [f"{name}/h{h + 1}" for h in range(pair.shape[1])]
            means.update({prefix + tag: next(values) for tag in tags})
        return means

    def state_dict(self) -> dict[str, Tensor]:
        return dict(self._sums)

    def load_state_dict(self, state: dict[str, Tensor], device: torch.device) -> None:
        self._sums = {name: pair.to(device) for name, pair in state.items()}

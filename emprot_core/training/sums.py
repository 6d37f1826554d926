"""Metrics as sums and weights, added over batches and ranks, and divided once."""

import torch
from torch import Tensor

from emprot_core.distributed import gather, sum_over_ranks, world_size
from emprot_core.training.forward_loss import MetricTerms


class MetricSums:
    """Adds (sum, weight) pairs in float64 on their device; `means` is the only place that waits for it."""

    def __init__(self) -> None:
        self._sums: dict[str, Tensor] = {}

    def add(self, terms: MetricTerms) -> None:
        """Add the terms of a batch."""
        self._add({name: torch.stack([total.double(), weight.double()]) for name, (total, weight) in terms.items()})

    def add_sums(self, other: "MetricSums") -> None:
        self._add(other._sums)

    def over_ranks(self) -> "MetricSums":
        """The sums of all ranks, by one reduction on the device; every rank must have the same metrics."""
        if world_size() == 1:
            return self
        packed = sum_over_ranks(torch.cat([pair.flatten() for pair in self._sums.values()]))
        parts = packed.split([pair.numel() for pair in self._sums.values()])
        total = MetricSums()
        total._sums = {name: part.view_as(pair) for (name, pair), part in zip(self._sums.items(), parts, strict=True)}
        return total

    def over_ranks_of_any_length(self) -> "MetricSums":
        """The sums of all ranks, of which some may have had no batch at all; this waits for the device."""
        if world_size() == 1:
            return self
        total = MetricSums()
        for sums in gather({name: pair.cpu() for name, pair in self._sums.items()}):
            total._add(sums)
        return total

    def total(self, name: str) -> Tensor:
        """(), the sum of a metric."""
        return self._sums[name][0]

    def weight(self, name: str) -> Tensor:
        """(), the weight of a metric."""
        return self._sums[name][1]

    def means(self, prefix: str = "") -> dict[str, float]:
        """sum / weight; a metric per horizon becomes name/h1, name/h2, ..."""
        if not self._sums:
            return {}
        packed = torch.cat([pair.reshape(2, -1) for pair in self._sums.values()], dim=1)
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

    def _add(self, sums: dict[str, Tensor]) -> None:
        for name, pair in sums.items():
            known = self._sums.get(name)
            self._sums[name] = pair if known is None else known + pair

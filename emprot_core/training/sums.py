"""Metrics as sums and weights, which are added over batches and ranks and divided once."""

import time

import torch
from torch import Tensor

from emprot_core.distributed import gather, sum_each_over_ranks
from emprot_core.training.forward_loss import MetricTerms


class MetricSums:
    """Adds (sum, weight) pairs in float64 on their device. Adding never waits for the device; `means` does."""

    def __init__(self) -> None:
        self._pairs: dict[
            str, Tensor
        ] = {}  # for each metric its sum and its weight: (2,), or (2, F) for one by horizon

    def add(self, terms: MetricTerms) -> None:
        """Add the terms of a batch."""
        self._add({name: _pair(total, weight) for name, (total, weight) in terms.items()})

    def add_sums(self, other: "MetricSums") -> None:
        self._add(other._pairs)

    def over_ranks(self) -> "MetricSums":
        """The sums of all ranks, in one reduction on the device. Every rank must have the same metrics."""
        total = MetricSums()
        total._pairs = dict(zip(self._pairs, sum_each_over_ranks(list(self._pairs.values())), strict=True))
        return total

    def over_ranks_of_any_length(self) -> "MetricSums":
        """The sums of all ranks, even if some of them had no batch. Waits for the device."""
        total = MetricSums()
        for pairs in gather({name: pair.cpu() for name, pair in self._pairs.items()}):
            total._add(pairs)
        return total

    def total(self, name: str) -> Tensor:
        """The sum () of a metric that has a single one for all horizons."""
        return self._pairs[name][0]

    def weight(self, name: str) -> Tensor:
        """The weight () of such a metric."""
        return self._pairs[name][1]

    def means(self, prefix: str = "") -> dict[str, float]:
        """sum / weight of each metric. One with a value per horizon becomes name/h1, name/h2, ..."""
        means = {}
        for name, pair in self._pairs.items():
            values = (pair[0] / pair[1]).reshape(-1).tolist()
            tags = [name] if pair.ndim == 1 else [f"{name}/h{h + 1}" for h in range(len(values))]
            means.update({prefix + tag: value for tag, value in zip(tags, values, strict=True)})
        return means

    def state_dict(self) -> dict[str, Tensor]:
        """For each metric a tensor (2,) or (2, F): its sum and its weight."""
        return dict(self._pairs)

    def load_state_dict(self, state: dict[str, Tensor], device: torch.device) -> None:
        self._pairs = {name: pair.to(device) for name, pair in state.items()}

    def _add(self, pairs: dict[str, Tensor]) -> None:
        for name, pair in pairs.items():
            self._pairs[name] = self._pairs[name] + pair if name in self._pairs else pair


class LogSums(MetricSums):
    """The sums since the last step that was logged."""

    def restart_clock(self) -> None:
        self._since = time.perf_counter()

    def collect(self) -> dict[str, float]:
        """Give the means as train/<metric>, and the tokens per second; then start again from zero."""
        now = time.perf_counter()
        logs = {**self.means("train/"), "time/tokens_per_s": float(self.weight("token_ce")) / (now - self._since)}
        self._pairs, self._since = {}, now
        return logs


def _pair(total: Tensor, weight: Tensor) -> Tensor:
    if total.is_cuda:  # reading the numbers would wait for the device
        return torch.stack((total.double(), weight.double()))
    return torch.tensor((total.tolist(), weight.tolist()), dtype=torch.float64)  # a third of the time

"""Metrics as sums and weights, which are added over batches and ranks and divided once."""

import math
import time

import torch
from torch import Tensor

from emprot_core.distributed import gather, sum_over_ranks, world_size
from emprot_core.training.forward_loss import MetricTerms

Layout = tuple[tuple[str, tuple[int, ...]], ...]
"""The name of each metric and the shape of its sum, () or (F,). Its weight has the same shape."""


class MetricSums:
    """Adds (sum, weight) pairs in float64 on their device. Adding never waits for the device; `means` does.

    All pairs lie in one vector, so that a batch or another MetricSums is added in one operation.
    """

    def __init__(self) -> None:
        self._layout: Layout = ()
        self._values: Tensor | None = None  # for each metric in the layout, its sum and then its weight

    def add(self, terms: MetricTerms) -> None:
        """Add the terms of a batch."""
        if not terms:
            return
        parts = [part for pair in terms.values() for part in pair]
        if parts[0].is_cuda:  # reading the numbers would wait for the device
            values = torch.cat([part.double().reshape(-1) for part in parts])
        else:
            values = torch.tensor([x for part in parts for x in _numbers(part)], dtype=torch.float64)
        self._add(tuple((name, total.shape) for name, (total, _) in terms.items()), values)

    def add_sums(self, other: "MetricSums") -> None:
        if other._values is not None:
            self._add(other._layout, other._values)

    def over_ranks(self) -> "MetricSums":
        """The sums of all ranks, in one reduction on the device. Every rank must have the same metrics."""
        if world_size() == 1 or self._values is None:
            return self
        total = MetricSums()
        total._add(self._layout, sum_over_ranks(self._values))
        return total

    def over_ranks_of_any_length(self) -> "MetricSums":
        """The sums of all ranks, even if some of them had no batch. Waits for the device."""
        if world_size() == 1:
            return self
        total = MetricSums()
        for layout, values in gather((self._layout, None if self._values is None else self._values.cpu())):
            if values is not None:
                total._add(layout, values)
        return total

    def total(self, name: str) -> Tensor:
        """The sum () of a metric that has a single one for all horizons."""
        return self._scalar(name, 0)

    def weight(self, name: str) -> Tensor:
        """The weight () of such a metric."""
        return self._scalar(name, 1)

    def means(self, prefix: str = "") -> dict[str, float]:
        """sum / weight of each metric. One with a value per horizon becomes name/h1, name/h2, ..."""
        if self._values is None:
            return {}
        means = {}
        for name, pair in _split(self._layout, self._values.cpu()).items():
            values = (pair[0] / pair[1]).reshape(-1).tolist()
            tags = [name] if pair.ndim == 1 else [f"{name}/h{h + 1}" for h in range(len(values))]
            means.update({prefix + tag: value for tag, value in zip(tags, values, strict=True)})
        return means

    def state_dict(self) -> dict[str, Tensor]:
        """For each metric a tensor (2,) or (2, F): its sum and its weight."""
        return self._pairs()

    def load_state_dict(self, state: dict[str, Tensor], device: torch.device) -> None:
        self._layout, self._values = (), None
        self._set({name: pair.to(device) for name, pair in state.items()})

    def _add(self, layout: Layout, values: Tensor) -> None:
        if self._values is None:
            self._layout, self._values = layout, values
        elif layout == self._layout:
            self._values = self._values + values
        else:  # the metrics differ: a run was resumed with another list of them
            pairs = self._pairs()
            for name, pair in _split(layout, values).items():
                pairs[name] = pairs[name] + pair if name in pairs else pair
            self._set(pairs)

    def _set(self, pairs: dict[str, Tensor]) -> None:
        if pairs:
            self._layout = tuple((name, pair.shape[1:]) for name, pair in pairs.items())
            self._values = torch.cat([pair.reshape(-1) for pair in pairs.values()])

    def _pairs(self) -> dict[str, Tensor]:
        return {} if self._values is None else _split(self._layout, self._values)

    def _scalar(self, name: str, part: int) -> Tensor:
        assert self._values is not None, "nothing was added"
        start = 0
        for other, shape in self._layout:
            if other == name:
                return self._values[start + part]
            start += 2 * math.prod(shape)
        raise KeyError(name)


class LogSums(MetricSums):
    """The sums since the last step that was logged."""

    def restart_clock(self) -> None:
        self._since = time.perf_counter()

    def collect(self) -> dict[str, float]:
        """Give the means as train/<metric>, and the tokens per second; then start again from zero."""
        now = time.perf_counter()
        logs = {**self.means("train/"), "time/tokens_per_s": float(self.weight("token_ce")) / (now - self._since)}
        self._layout, self._values, self._since = (), None, now
        return logs


def _numbers(tensor: Tensor) -> list[float]:
    return tensor.tolist() if tensor.ndim else [tensor.item()]


def _split(layout: Layout, values: Tensor) -> dict[str, Tensor]:
    parts = values.split([2 * math.prod(shape) for _, shape in layout])
    return {name: part.view(2, *shape) for (name, shape), part in zip(layout, parts, strict=True)}

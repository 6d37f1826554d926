"""Torch's optimizers that do not read `found_inf`, made to withhold an update that it forbids."""

from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from typing import Any

import torch
from torch import Tensor


class GuardedOptimizer(torch.optim.Optimizer):
    """One or more optimizers as one: groups and state are theirs, so a scheduler or a checkpoint sees a single one.

    torch's fused optimizers read `found_inf` on the device. The others know nothing of it, so it is read here, which
    makes CUDA wait once in every step; on a CPU it costs nothing.
    """

    found_inf: Tensor | None = None
    """Where it is set and not 0, `step` leaves parameters and state as they are."""

    def __init__(self, *parts: torch.optim.Optimizer):
        """
        Args:
            parts: fresh optimizers of different parameters; they must not be stepped on their own.
        """
        super().__init__([group for part in parts for group in part.param_groups], defaults={})
        self.parts = parts
        self._share()

    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]
        """One step of every part, or of none."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        if self.found_inf is None or not bool(self.found_inf):
            for part in self.parts:
                part.step()
        return loss

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        super().load_state_dict(state_dict)
        self._share()

    def _share(self) -> None:
        """Make the groups and the state of the parts the very objects held here."""
        for part, groups in zip(self.parts, self._groups_of_parts(), strict=True):
            part.__setstate__({"state": self.state, "param_groups": groups})

    def _groups_of_parts(self) -> Iterator[Sequence[dict[str, Any]]]:
        groups = iter(self.param_groups)
        for part in self.parts:
            yield list(islice(groups, len(part.param_groups)))

"""Combines several optimizers of different parameters into one."""

from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from typing import Any

import torch


class Combined(torch.optim.Optimizer):
    """Shares the groups and state of its parts, so a scheduler or a checkpoint sees a single optimizer."""

    def __init__(self, *parts: torch.optim.Optimizer):
        """
        Args:
            parts: fresh optimizers of different parameters; they must not be stepped on their own.
        """
        super().__init__([group for part in parts for group in part.param_groups], defaults={})
        self.parts = parts
        self._share()

    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]
        """Step every part once."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for part in self.parts:
            part.step()
        return loss

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        super().load_state_dict(state_dict)
        self._share()

    def _share(self) -> None:
        """Let the parts use the same group and state objects as this optimizer."""
        for part, groups in zip(self.parts, self._groups_of_parts(), strict=True):
            part.__setstate__({"state": self.state, "param_groups": groups})

    def _groups_of_parts(self) -> Iterator[Sequence[dict[str, Any]]]:
        groups = iter(self.param_groups)
        for part in self.parts:
            yield list(islice(groups, len(part.param_groups)))

"""Any iterable of batches as optimizer steps that can start anywhere in an epoch."""

import math
from collections.abc import Iterable, Iterator
from fractions import Fraction
from itertools import islice
from typing import TypeVar

from emprot_core.batch import Batch
from emprot_core.contracts import StepLoader

Item = TypeVar("Item")


class IterableSteps:
    """A torch DataLoader, a list or any iterable of batches as a StepLoader.

    To start within an epoch it reads, and leaves out, the batches before; that repeats the order only if the
    iterable gives the same one again.
    """

    def __init__(self, batches: Iterable[Batch]):
        self.batches = batches

    def num_steps(self, grad_accum_steps: int) -> int:
        """
        Raises:
            TypeError: the iterable has no length.
        """
        return math.ceil(len(self.batches) / grad_accum_steps)  # type: ignore[arg-type]

    def steps(self, epoch: int, first_step: int | Fraction, grad_accum_steps: int) -> Iterator[list[Batch]]:
        batches = iter(self.batches)
        for _ in islice(batches, int(first_step * grad_accum_steps)):
            pass
        while micro_batches := list(islice(batches, grad_accum_steps)):
            yield micro_batches

    def __iter__(self) -> Iterator[Batch]:
        return iter(self.batches)


def as_step_loader(loader: Iterable[Batch] | StepLoader) -> StepLoader:
    return loader if isinstance(loader, StepLoader) else IterableSteps(loader)


def with_last(items: Iterator[Item]) -> Iterator[tuple[Item, bool]]:
    """Each item with whether it is the last one."""
    for item in items:
        for following in items:
            yield item, False
            item = following
        yield item, True

"""Divides any iterable of batches into optimizer steps that can start anywhere in an epoch."""

import math
from collections.abc import Iterable, Iterator
from fractions import Fraction
from itertools import islice

from emprot_core.batch import Batch
from emprot_core.contracts import StepLoader


class IterableSteps:
    """A torch DataLoader, a list or any iterable of batches as a StepLoader.

    To start within an epoch it reads and skips the earlier batches. The order is repeated only if the iterable gives
    the same one again.
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

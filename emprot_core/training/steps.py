"""Divides any iterable of batches into optimizer steps that can start anywhere in an epoch, and counts them."""

import math
from collections.abc import Iterable, Iterator
from fractions import Fraction
from itertools import islice
from typing import Any, TypeVar

from emprot_core.batch import Batch
from emprot_core.contracts import StepLoader
from emprot_core.errors import EmprotError

Item = TypeVar("Item")


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


def check_counts(trainer: Any) -> None:
    """Raise EmprotError if a number of epochs or steps is below 1."""
    for name in ("max_epochs", "max_steps", "grad_accum_steps", "validate_every_steps", "log_every_steps"):
        if (value := getattr(trainer, name)) is not None and value < 1:
            raise EmprotError(f"Trainer.{name} is {value}, expected 1 or more")


def steps_done(trainer: Any) -> int | Fraction:
    """The optimizer steps done in this epoch, in steps of the current size: a fraction if earlier ones differed."""
    steps = Fraction(trainer.micro_batches_done, trainer.micro_batches_per_step)
    return int(steps) if steps.denominator == 1 else steps


def count_steps(trainer: Any, loader: StepLoader) -> tuple[int, int]:
    """The optimizer steps of one epoch (0 for a loader without a length), and of the whole training.

    They are counted from the current position: if the number of ranks changed, earlier steps had another size. In that
    case the count may be one too high, if the epoch is not a whole number of steps.

    Raises:
        EmprotError: the loader is empty, or has no length and max_steps is not set.
    """
    most = math.inf if trainer.max_steps is None else trainer.max_steps
    try:
        steps_per_epoch = loader.num_steps(trainer.grad_accum_steps)
    except TypeError:
        if trainer.max_steps is None:
            raise EmprotError("the train loader has no length, so its steps cannot be counted; set max_steps") from None
        return 0, trainer.max_steps
    if not steps_per_epoch:
        raise EmprotError("the train loader is empty; give it at least one batch")
    left = (trainer.max_epochs - trainer.epoch) * steps_per_epoch - int(steps_done(trainer))
    return steps_per_epoch, int(min(trainer.step + max(0, left), most))


def is_validation_due(trainer: Any, is_last: bool) -> bool:
    """Whether to validate after this step. `is_last` says whether the step is the last of its epoch."""
    every = trainer.validate_every_steps
    return trainer.step == trainer.total_steps or (is_last if every is None else trainer.step % every == 0)


def with_last(items: Iterator[Item]) -> Iterator[tuple[Item, bool]]:
    """Each item, paired with whether it is the last one."""
    for item in items:
        for following in items:
            yield item, False
            item = following
        yield item, True

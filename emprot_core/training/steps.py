"""Counts optimizer steps: of an epoch, of the training, until the next validation."""

from fractions import Fraction
from typing import Any

from emprot_core.contracts import StepLoader
from emprot_core.errors import EmprotError


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
    try:
        steps_per_epoch = loader.num_steps(trainer.grad_accum_steps)
    except TypeError:
        if trainer.max_steps is None:
            raise EmprotError("the train loader has no length, so its steps cannot be counted; set max_steps") from None
        return 0, trainer.max_steps
    if not steps_per_epoch:
        raise EmprotError("the train loader is empty; give it at least one batch")
    left = (trainer.max_epochs - trainer.epoch) * steps_per_epoch - int(steps_done(trainer))
    total = trainer.step + max(0, left)
    return steps_per_epoch, total if trainer.max_steps is None else min(total, trainer.max_steps)


def is_validation_due(trainer: Any, is_last: bool) -> bool:
    """Whether to validate after this step. `is_last` says whether the step is the last of its epoch."""
    every = trainer.validate_every_steps
    return trainer.step == trainer.total_steps or (is_last if every is None else trainer.step % every == 0)

"""Checks of what a trainer is made of: before it is built, and on the first batch."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch
from torch import nn

from emprot_core import randomness
from emprot_core.batch import Batch, move_batch
from emprot_core.breach import broken, check_takes
from emprot_core.conformance.losses import check_loss, check_metrics
from emprot_core.conformance.models import check_model
from emprot_core.conformance.values import some_windows
from emprot_core.contracts import Metric
from emprot_core.errors import EmprotError


def make(component: Callable[..., Any], what: str, names: Sequence[str], *arguments: Any) -> Any:
    """What the factory of an optimizer or a scheduler gives.

    Args:
        what: the parameter that it is bound to, for example "Trainer.optimizer".
        names: of the arguments.

    Raises:
        ContractBroken: the factory takes other arguments, or gives something that cannot be used.
        EmprotError: the factory refuses a value.
    """
    if not callable(component):
        raise broken(component, f"a function of {', '.join(names)}", component, f"bind {what} without parentheses")
    function = component.func if isinstance(component, partial) else component
    check_takes(component, component, getattr(function, "__name__", what), *names)
    try:
        made = component(*arguments)
    except ValueError as error:
        mistake = EmprotError(f"{what}: {error}")
        if isinstance(component, partial):
            given = ", ".join(f"{name}={value!r}" for name, value in component.keywords.items())
            mistake.add_note(f"raised by {component.func.__qualname__}({given})")
        raise mistake from error
    wanted = torch.optim.Optimizer if len(names) == 1 else torch.optim.lr_scheduler.LRScheduler
    if not isinstance(made, wanted):
        raise broken(component, f"a torch {wanted.__name__}", made, "does the function return it?")
    if wanted is not torch.optim.Optimizer:
        check_takes(component, made.step, "step")
    return made


def check_owns(factory: Any, optimizer: torch.optim.Optimizer, model: nn.Module) -> None:
    """
    Raises:
        ContractBroken: the optimizer has none of the model's parameters.
    """
    own = {id(parameter) for group in optimizer.param_groups for parameter in group["params"]}
    if not own & {id(parameter) for parameter in model.parameters()}:
        change = "make it of the named_parameters that the function is called with"
        raise broken(factory, "an optimizer of the model's parameters", "one that has none of them", change)


def check_step(model: Any, loss: Any, metrics: Sequence[Metric], batch: Batch, device: torch.device) -> None:
    """Take a few windows of a batch through model, loss and metrics. Nothing is changed by it.

    Raises:
        ContractBroken: one of them breaks its contract.
    """
    if (windows := some_windows(batch)) is None:
        return  # nothing to predict: the loop says so if it is a whole step
    windows = move_batch(windows, device)
    with _same_random_numbers(device):
        outputs = check_model(model, windows, loss.inputs == "features")
        scores = check_loss(loss, model, outputs, windows)
        check_metrics(metrics, outputs, windows, scores)


@contextmanager
def _same_random_numbers(device: torch.device) -> Iterator[None]:
    state = randomness.random_state(device)
    try:
        yield
    finally:
        randomness.restore_random_state(state, device)

"""Chooses the learning rate and weight decay of parameters: biases and those of under two dimensions have no decay."""

from collections.abc import Sequence
from fnmatch import fnmatchcase
from typing import Any

from torch import nn

from emprot_core.contracts import NamedParameters, ParameterGroup
from emprot_core.errors import EmprotError

Named = list[tuple[str, nn.Parameter]]


def decay_groups(named_parameters: Named, learning_rate: float, weight_decay: float) -> list[dict[str, Any]]:
    """Parameter groups for torch's optimizers, first with, then without weight decay; empty groups are left out.

    Those of the groups that a model wants (contracts.NamedParameters) come last.

    Raises:
        EmprotError: weight_decay is negative, or a group of the model matches no parameter.
    """
    if not weight_decay >= 0:
        raise EmprotError(f"weight_decay is {weight_decay}, expected 0 or more")
    special, rest = divide(named_parameters)
    groups = _with_and_without_decay(rest, {}, weight_decay)
    for wanted, parameters in special:
        rate = {"lr": wanted.rate_factor * learning_rate}
        groups += _with_and_without_decay(parameters, rate, wanted.weight_decay)
    return groups


def divide(named_parameters: Named) -> tuple[list[tuple[ParameterGroup, Named]], Named]:
    """The parameters of each group that the model wants, and the rest.

    Raises:
        EmprotError: a group matches no parameter.
    """
    wanted: Sequence[ParameterGroup] = named_parameters.groups if isinstance(named_parameters, NamedParameters) else ()
    found: list[tuple[ParameterGroup, Named]] = []
    rest: Named = list(named_parameters)
    for group in wanted:
        matching = [(name, parameter) for name, parameter in rest if fnmatchcase(name, group.pattern)]
        if not matching:
            names = ", ".join(name for name, _ in named_parameters)
            raise EmprotError(
                f"parameter_groups() of the model names {group.pattern!r}, which no parameter matches; its parameters "
                f"are {names}"
            )
        found.append((group, matching))
        rest = [(name, parameter) for name, parameter in rest if not fnmatchcase(name, group.pattern)]
    return found, rest


def is_weight(name: str, parameter: nn.Parameter) -> bool:
    return parameter.ndim >= 2 and not name.endswith("bias")


def _with_and_without_decay(named: Named, rate: dict[str, float], weight_decay: float) -> list[dict[str, Any]]:
    decayed = [parameter for name, parameter in named if is_weight(name, parameter)]
    free = [parameter for name, parameter in named if not is_weight(name, parameter)]
    groups = [
        {"params": decayed, "weight_decay": weight_decay, **rate},
        {"params": free, "weight_decay": 0.0, **rate},
    ]
    return [group for group in groups if group["params"]]

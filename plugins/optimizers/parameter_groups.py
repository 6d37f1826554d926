"""Chooses the parameters with weight decay: all but biases and parameters of fewer than two dimensions."""

from typing import Any

from torch import nn

from emprot_core.errors import EmprotError

NamedParameters = list[tuple[str, nn.Parameter]]


def decay_groups(named_parameters: NamedParameters, weight_decay: float) -> list[dict[str, Any]]:
    """Parameter groups for torch's optimizers: first with, then without weight decay; empty groups are left out.

    Raises:
        EmprotError: weight_decay is negative.
    """
    if not weight_decay >= 0:
        raise EmprotError(f"weight_decay is {weight_decay}, expected 0 or more")
    decayed = [parameter for name, parameter in named_parameters if is_weight(name, parameter)]
    free = [parameter for name, parameter in named_parameters if not is_weight(name, parameter)]
    groups = [{"params": decayed, "weight_decay": weight_decay}, {"params": free, "weight_decay": 0.0}]
    return [group for group in groups if group["params"]]


def is_weight(name: str, parameter: nn.Parameter) -> bool:
    return parameter.ndim >= 2 and not name.endswith("bias")

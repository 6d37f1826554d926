"""Which parameters decay: all but biases and every parameter of fewer than two dimensions."""

from typing import Any

from torch import nn

NamedParameters = list[tuple[str, nn.Parameter]]


def decay_groups(named_parameters: NamedParameters, weight_decay: float) -> list[dict[str, Any]]:
    """Parameter groups for torch's optimizers: those that decay, then those that do not; none of them empty.

    Raises:
        ValueError: weight_decay is negative.
    """
    if not weight_decay >= 0:
        raise ValueError(f"weight_decay is {weight_decay}, expected 0 or more")
    decayed = [parameter for name, parameter in named_parameters if is_weight(name, parameter)]
    free = [parameter for name, parameter in named_parameters if not is_weight(name, parameter)]
    groups = [{"params": decayed, "weight_decay": weight_decay}, {"params": free, "weight_decay": 0.0}]
    return [group for group in groups if group["params"]]


def is_weight(name: str, parameter: nn.Parameter) -> bool:
    return parameter.ndim >= 2 and not name.endswith("bias")

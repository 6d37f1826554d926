"""torch's optimizers. Weight decay leaves out biases and every parameter of fewer than two dimensions."""

from typing import Any

import torch
from torch import nn

from emprot_core.registry import register

NamedParameters = list[tuple[str, nn.Parameter]]


@register("optimizer")
def adamw(
    named_parameters: NamedParameters,
    learning_rate: float = 1e-3,
    weight_decay: float = 0.01,
    betas: tuple[float, float] = (0.9, 0.999),
) -> torch.optim.Optimizer:
    """AdamW (Loshchilov & Hutter 2019), torch's fused form."""
    return torch.optim.AdamW(_groups(named_parameters, weight_decay), lr=learning_rate, betas=betas, fused=True)


@register("optimizer")
def adam(
    named_parameters: NamedParameters,
    learning_rate: float = 1e-3,
    weight_decay: float = 0.0,
    betas: tuple[float, float] = (0.9, 0.999),
) -> torch.optim.Optimizer:
    """Adam (Kingma & Ba 2015); weight_decay is an L2 term in the gradient."""
    return torch.optim.Adam(_groups(named_parameters, weight_decay), lr=learning_rate, betas=betas, fused=True)


@register("optimizer")
def sgd(
    named_parameters: NamedParameters,
    learning_rate: float = 0.1,
    weight_decay: float = 0.0,
    momentum: float = 0.9,
) -> torch.optim.Optimizer:
    """Stochastic gradient descent with Nesterov momentum (momentum 0: plain)."""
    return torch.optim.SGD(
        _groups(named_parameters, weight_decay), lr=learning_rate, momentum=momentum, nesterov=momentum > 0, fused=True
    )


def _groups(named_parameters: NamedParameters, weight_decay: float) -> list[dict[str, Any]]:
    decayed, free = [], []
    for name, parameter in named_parameters:
        is_weight = parameter.ndim >= 2 and not name.endswith("bias")
        (decayed if is_weight else free).append(parameter)
    groups = [{"params": decayed, "weight_decay": weight_decay}, {"params": free, "weight_decay": 0.0}]
    return [group for group in groups if group["params"]]

"""Stochastic gradient descent. Weight decay leaves out biases and every parameter of fewer than two dimensions."""

import torch

from emprot_core.registry import register

from .parameter_groups import NamedParameters, decay_groups


@register("optimizer")
def sgd(
    named_parameters: NamedParameters,
    learning_rate: float = 0.1,
    weight_decay: float = 0.0,
    momentum: float = 0.9,
) -> torch.optim.Optimizer:
    """Stochastic gradient descent with Nesterov momentum (momentum 0: plain), torch's fused form."""
    groups = decay_groups(named_parameters, weight_decay)
    optimizer = torch.optim.SGD(groups, lr=learning_rate, momentum=momentum, nesterov=momentum > 0, fused=True)
    if momentum > 0:
        # torch's fused form leaves the buffer of a first step that was withheld uninitialised; from zeros the
        # numbers are those of a buffer that starts as the first gradient.
        for _, parameter in named_parameters:
            optimizer.state[parameter]["momentum_buffer"] = torch.zeros_like(parameter)
    return optimizer

"""Stochastic gradient descent. Biases and parameters of fewer than two dimensions have no weight decay."""

import torch

from emprot_core.registry import register

from .parameter_groups import Named, decay_groups


@register("optimizer")
def sgd(
    named_parameters: Named,
    learning_rate: float = 0.1,
    weight_decay: float = 0.0,
    momentum: float = 0.9,
) -> torch.optim.Optimizer:
    """Stochastic gradient descent with Nesterov momentum (plain if momentum is 0), in torch's fused form.

    Args:
        learning_rate: the peak rate; the scheduler multiplies it.
        weight_decay: factor of the weight that is added to its gradient; biases and norms have none.
        momentum: share of the last step in the next one.
    """
    groups = decay_groups(named_parameters, learning_rate, weight_decay)
    optimizer = torch.optim.SGD(groups, lr=learning_rate, momentum=momentum, nesterov=momentum > 0, fused=True)
    if momentum > 0:
        # If the first step is withheld, torch's fused form leaves the buffer uninitialised. A buffer of zeros gives
        # the same numbers as one that starts as the first gradient.
        for _, parameter in named_parameters:
            optimizer.state[parameter]["momentum_buffer"] = torch.zeros_like(parameter)
    return optimizer

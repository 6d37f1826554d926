"""Adam and its kin. Weight decay leaves out biases and every parameter of fewer than two dimensions."""

import torch

from emprot_core.registry import register

from .guarded import GuardedOptimizer
from .parameter_groups import NamedParameters, decay_groups


@register("optimizer")
def adamw(
    named_parameters: NamedParameters,
    learning_rate: float = 1e-3,
    weight_decay: float = 0.01,
    betas: tuple[float, float] = (0.9, 0.999),
) -> torch.optim.Optimizer:
    """AdamW (Loshchilov & Hutter 2019), torch's fused form."""
    return torch.optim.AdamW(decay_groups(named_parameters, weight_decay), lr=learning_rate, betas=betas, fused=True)


@register("optimizer")
def adam(
    named_parameters: NamedParameters,
    learning_rate: float = 1e-3,
    weight_decay: float = 0.0,
    betas: tuple[float, float] = (0.9, 0.999),
) -> torch.optim.Optimizer:
    """Adam (Kingma & Ba 2015); weight_decay is an L2 term in the gradient."""
    return torch.optim.Adam(decay_groups(named_parameters, weight_decay), lr=learning_rate, betas=betas, fused=True)


@register("optimizer")
def nadam(
    named_parameters: NamedParameters,
    learning_rate: float = 1e-3,
    weight_decay: float = 0.01,
    betas: tuple[float, float] = (0.9, 0.999),
) -> torch.optim.Optimizer:
    """Adam with Nesterov momentum (Dozat 2016); weight_decay is decoupled, as in AdamW."""
    groups = decay_groups(named_parameters, weight_decay)
    return GuardedOptimizer(torch.optim.NAdam(groups, lr=learning_rate, betas=betas, decoupled_weight_decay=True))


@register("optimizer")
def radam(
    named_parameters: NamedParameters,
    learning_rate: float = 1e-3,
    weight_decay: float = 0.01,
    betas: tuple[float, float] = (0.9, 0.999),
) -> torch.optim.Optimizer:
    """Adam with a rectified step size (Liu et al. 2020), which warms up by itself; weight_decay is decoupled."""
    groups = decay_groups(named_parameters, weight_decay)
    return GuardedOptimizer(torch.optim.RAdam(groups, lr=learning_rate, betas=betas, decoupled_weight_decay=True))

"""An optimizer: a function that the trainer calls with the parameters."""

import torch

from emprot_core import register
from emprot_core.contracts import NamedParameters


@register("optimizer")
def template_optimizer(named_parameters: NamedParameters, learning_rate: float = 1e-2) -> torch.optim.Optimizer:
    """Adagrad (Duchi et al. 2011)."""
    return torch.optim.Adagrad([parameter for _, parameter in named_parameters], lr=learning_rate)

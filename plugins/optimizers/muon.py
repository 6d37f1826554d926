"""Muon for the matrices inside the model, AdamW for all other parameters."""

from collections.abc import Sequence

import torch

from emprot_core.contracts import NamedParameters
from emprot_core.errors import EmprotError
from emprot_core.registry import register

from .combined import Combined
from .parameter_groups import Named, decay_groups, divide, is_weight


@register("optimizer")
def muon(
    named_parameters: Named,
    learning_rate: float = 1e-3,
    weight_decay: float = 0.01,
    momentum: float = 0.95,
    betas: tuple[float, float] = (0.9, 0.999),
    tables: Sequence[str] = ("embedding", "table"),
) -> torch.optim.Optimizer:
    """Muon (Jordan et al. 2024): steps along the momentum, orthogonalised by five Newton-Schulz iterations.

    Muon takes the two-dimensional weights; AdamW takes biases, norms, tensors of more dimensions, embedding tables and
    the parameters that a model wants trained at a rate of their own.
    The update of a matrix has the size that AdamW's update would have (Liu et al. 2025, arXiv:2502.16982), so both
    share learning rate and weight decay.

    Args:
        learning_rate: the peak rate; the scheduler multiplies it.
        weight_decay: the share of itself that a weight loses in a step, times the rate; biases and norms have none.
        momentum: momentum of Muon.
        betas: betas of AdamW.
        tables: a parameter is an embedding table if its name contains one of these.

    Raises:
        EmprotError: the installed torch has no Muon.
    """
    if not hasattr(torch.optim, "Muon"):
        raise EmprotError(
            f"optimizers.muon needs torch 2.9 or newer (torch.optim.Muon), this is torch {torch.__version__}; "
            "install a newer torch, or use optimizers.adamw"
        )
    special, rest = divide(named_parameters)
    is_matrix = {
        name: parameter.ndim == 2 and is_weight(name, parameter) and not any(table in name for table in tables)
        for name, parameter in rest
    }
    matrices = [parameter for name, parameter in rest if is_matrix[name]]
    left = [(name, parameter) for name, parameter in named_parameters if not is_matrix.get(name)]
    others = decay_groups(NamedParameters(left, [group for group, _ in special]), learning_rate, weight_decay)
    parts: list[torch.optim.Optimizer] = []
    if matrices:
        parts.append(
            torch.optim.Muon(
                matrices, lr=learning_rate, weight_decay=weight_decay, momentum=momentum, adjust_lr_fn="match_rms_adamw"
            )
        )
    if others:
        parts.append(torch.optim.AdamW(others, lr=learning_rate, betas=betas, fused=True))
    return Combined(*parts)

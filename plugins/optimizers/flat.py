"""Parameters and gradients as views of flat buffers, so that an update passes once over memory.

A small step spends more time on launching operations for each parameter than on arithmetic.
"""

from collections.abc import Sequence

import torch
from torch import nn

_ALIGNMENT = 64  # in elements: kernels expect parameters to be aligned as torch aligns them


def flatten(parameters: Sequence[nn.Parameter]) -> list[nn.Parameter]:
    """One flat parameter per dtype and device; the given ones become views of it, with their values and gradient 0."""
    kinds = dict.fromkeys((parameter.dtype, parameter.device) for parameter in parameters)
    return [_join([p for p in parameters if (p.dtype, p.device) == kind]) for kind in kinds]


class Views:
    """Remembers where parameters and gradients lie in memory, to check that they are still views of the flat ones.

    Moving or casting the model, or a hook that replaces the tensor of a gradient, separates them. Updates would then
    go to memory that nobody reads.
    """

    def __init__(self, parameters: Sequence[nn.Parameter]):
        self._held = [(parameter, parameter.data_ptr(), parameter.grad) for parameter in parameters]

    def check(self) -> None:
        """
        Raises:
            RuntimeError: a parameter or its gradient now lies elsewhere in memory.
        """
        for parameter, place, gradient in self._held:
            if parameter.grad is not gradient or parameter.data_ptr() != place:
                raise RuntimeError(
                    f"a parameter of shape {tuple(parameter.shape)}, or its gradient, was replaced after training "
                    "began: the optimizer steps flat tensors that parameters and gradients are views of; change them "
                    "in place (trainer.gradients), and move or cast the model before training"
                )


def _join(parameters: Sequence[nn.Parameter]) -> nn.Parameter:
    sizes = [-(-parameter.numel() // _ALIGNMENT) * _ALIGNMENT for parameter in parameters]
    flat = nn.Parameter(torch.zeros(sum(sizes), dtype=parameters[0].dtype, device=parameters[0].device))
    flat.grad = torch.zeros_like(flat)
    parts = zip(parameters, flat.detach().split(sizes), flat.grad.split(sizes), strict=True)
    for parameter, values, gradient in parts:
        view = values[: parameter.numel()].view_as(parameter)
        view.copy_(parameter.detach())
        parameter.data = view
        parameter.grad = gradient[: parameter.numel()].view_as(parameter)
    return flat

"""A model as a function of batches, for scoring."""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any

from torch import nn

from emprot_core.batch import Batch, model_inputs
from emprot_core.contracts import Outputs, UsesTransitions


def outputs_of(
    model: nn.Module, autocast: Callable[[], AbstractContextManager[Any]] = nullcontext
) -> Callable[[Batch], Outputs]:
    """Put the model in evaluation mode, and give a function from a batch on its device to its outputs."""
    model.eval()
    leaves_out = isinstance(model, UsesTransitions)

    def forward(batch: Batch) -> Outputs:
        inputs = model_inputs(batch)
        with autocast():
            return model(*inputs, left_out=batch.get("left_out")) if leaves_out else model(*inputs)

    return forward

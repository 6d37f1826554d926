"""A model as a function of batches, for scoring."""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any

from torch import nn

from emprot_core.batch import Batch, model_inputs
from emprot_core.contracts import Outputs


def outputs_of(
    model: nn.Module, autocast: Callable[[], AbstractContextManager[Any]] = nullcontext
) -> Callable[[Batch], Outputs]:
    """Put the model in evaluation mode, and give a function from a batch on its device to its outputs."""
    model.eval()

    def forward(batch: Batch) -> Outputs:
        with autocast():
            return model(*model_inputs(batch))

    return forward

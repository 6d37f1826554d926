"""Errors that end training: hooks are notified, and running out of memory gets a message that helps."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch

from emprot_core.errors import EmprotError
from emprot_core.training.forward_loss import losses_that_read


class DeviceOutOfMemory(EmprotError):
    """A batch did not fit on the device; the message names its shapes and the binding to lower."""

    def __init__(self, error: BaseException, trainer: Any):
        first_line = str(error).partition("\n")[0]
        if trainer.due:  # true only after a step, in the validation
            super().__init__(
                f"the validation after step {trainer.step} does not fit on the device ({first_line}); lower "
                "the eval_batch_size of Train.data: no score depends on it"
            )
            return
        batch = max(trainer.micro_batches, key=lambda batch: batch["input_cluster_ids"].numel())
        num_windows, history, num_residues = batch["input_cluster_ids"].shape
        horizon, num_clusters = batch["future_cluster_ids"].shape[1], trainer.model.num_clusters
        logits_gib = 4 * num_windows * horizon * num_residues * num_clusters / 2**30
        super().__init__(
            f"optimizer step {trainer.step + 1} does not fit on the device ({first_line}); its largest micro-batch has "
            f"{num_windows} windows of {history} + {horizon} frames x {num_residues} residues, whose logits over "
            f"{num_clusters} clusters take {logits_gib:.2f} GiB. Lower the batch_size of Train.data and raise "
            "Trainer.grad_accum_steps by the same factor: the training stays the same. Or bind a Trainer.loss that "
            f"never holds all logits: {losses_that_read('features')}"
        )


@contextmanager
def telling_hooks_of_errors(trainer: Any) -> Iterator[None]:
    """Tell the hooks about an error that ends training, then raise it again.

    Raises:
        DeviceOutOfMemory: instead of torch's OutOfMemoryError.
    """
    try:
        yield
    except BaseException as error:
        trainer.exception = error
        trainer.hooks.tell_exception(trainer)
        if isinstance(error, torch.OutOfMemoryError):
            raise DeviceOutOfMemory(error, trainer) from error
        raise

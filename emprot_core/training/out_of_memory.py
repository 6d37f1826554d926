"""What to do when a device runs out of memory."""

from emprot_core.batch import Batch
from emprot_core.training.forward_loss import losses_that_read


class DeviceOutOfMemory(ValueError):
    """A batch did not fit on the device; the message names its shapes and the binding to lower."""

    def __init__(self, error: BaseException, step: int, micro_batches: list[Batch], num_clusters: int, validates: bool):
        """
        Args:
            micro_batches: of the step, or of the last one before a validation.
            validates: whether it was a validation after this step.
        """
        first_line = str(error).partition("\n")[0]
        if validates:
            super().__init__(
                f"the validation after step {step} does not fit on the device ({first_line}); lower "
                "the eval_batch_size of Train.data: no score depends on it"
            )
            return
        batch = max(micro_batches, key=lambda batch: batch["input_cluster_ids"].numel())
        num_windows, history, num_residues = batch["input_cluster_ids"].shape
        horizon = batch["future_cluster_ids"].shape[1]
        logits_gib = 4 * num_windows * horizon * num_residues * num_clusters / 2**30
        super().__init__(
            f"optimizer step {step + 1} does not fit on the device ({first_line}); its largest micro-batch has "
            f"{num_windows} windows of {history} + {horizon} frames x {num_residues} residues, whose logits over "
            f"{num_clusters} clusters take {logits_gib:.2f} GiB. Lower the batch_size of Train.data and raise "
            "Trainer.grad_accum_steps by the same factor: the training stays the same. Or bind a Trainer.loss that "
            f"never holds all logits: {losses_that_read('features')}"
        )

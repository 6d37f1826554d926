"""What ends a training: requests of hooks to stop, on which the ranks agree, and errors, which the hooks are told."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch

from emprot_core.batch import Batch, has_target
from emprot_core.conformance.losses import losses_that_read
from emprot_core.distributed import max_over_ranks
from emprot_core.errors import EmprotError
from emprot_core.hooks.base import StopRequest


class Stops:
    """Keeps requests until every hook has handled the event. If one rank asks to stop, all ranks stop.

    All ranks must call the agree functions together.
    """

    def __init__(self) -> None:
        self.stop: StopRequest | None = None
        """The stop that all ranks agreed on."""
        self._asked: list[StopRequest] = []

    def ask(self, reason: str, exit_status: int = 0) -> None:
        """End training before the next step. Of several requests the one with the highest exit status counts."""
        self._asked.append(StopRequest(reason, exit_status))

    def agree(self) -> bool:
        """Whether training ends here, because some rank asked to stop."""
        if self.stop is None:
            self._settle_on(max_over_ranks([self._urgency()])[0])
        return self.stop is not None

    def agree_on_leaving(self) -> bool:
        """Whether training ends here but can be resumed: the stop has an exit status other than 0."""
        return self.agree() and self.stop is not None and self.stop.exit_status != 0

    def agree_on_step(self, micro_batches: Sequence[Batch], is_last: bool) -> bool:
        """As `agree`. The same reduction also checks the coming step.

        Raises:
            EmprotError: no rank has a valid target in this step, or one rank's epoch has fewer steps than another's.
        """
        if self.stop is not None:
            return True
        counts = any(has_target(batch) for batch in micro_batches)
        flags = [self._urgency(), int(counts), int(is_last), int(not is_last)]
        urgency, any_counts, any_ends, any_goes_on = max_over_ranks(flags)
        if any_ends and any_goes_on:
            raise EmprotError(
                "the train loader of one rank has fewer optimizer steps than that of another; give every rank as many "
                "batches (a torch DistributedSampler does)"
            )
        if not any_counts:
            raise EmprotError(
                "the optimizer step has no valid target: future_step_mask & residue_mask & (future_cluster_ids >= 0) "
                "is False everywhere in its micro-batches; leave such windows out, or check that the masks are True "
                "where a target counts"
            )
        self._settle_on(urgency)
        return self.stop is not None

    def state_dict(self) -> list[str]:
        """The reasons of requests to finish (exit status 0). A killed run must still know them when it is resumed."""
        return [stop.reason for stop in self._asked if stop.exit_status == 0]

    def load_state_dict(self, reasons: Sequence[str]) -> None:
        self._asked = [StopRequest(reason) for reason in reasons]

    def _urgency(self) -> int:
        """1 + the highest exit status that a hook of this rank asked for, or 0 if none asked to stop."""
        return max((1 + stop.exit_status for stop in self._asked), default=0)

    def _settle_on(self, urgency: int) -> None:
        if urgency:
            own = [stop for stop in self._asked if 1 + stop.exit_status == urgency]
            self.stop = max(own, default=StopRequest("another rank asked to stop", urgency - 1))


class DeviceOutOfMemory(EmprotError):
    """A batch did not fit on the device; the message names its shapes and the binding to lower."""

    page = "faults#out-of-memory"

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
        logits_gib = 4 * num_windows * trainer.future_horizon * num_residues * trainer.num_clusters / 2**30
        super().__init__(
            f"optimizer step {trainer.step + 1} does not fit on the device ({first_line}); its largest micro-batch has "
            f"{num_windows} windows of {history} + {trainer.future_horizon} frames x {num_residues} residues, whose "
            f"logits over {trainer.num_clusters} clusters take {logits_gib:.2f} GiB. Lower the batch_size of "
            "Train.data and raise Trainer.grad_accum_steps by the same factor: the training stays the same. Or bind a "
            f"Trainer.loss that never holds all logits: {losses_that_read('features')}"
        )


@contextmanager
def telling_hooks_of_errors(trainer: Any) -> Iterator[None]:
    """Tell the hooks about an error that ends training, then raise it again.

    Raises:
        DeviceOutOfMemory: instead of the OutOfMemoryError of torch, from the first step on.
    """
    try:
        yield
    except BaseException as error:
        trainer.exception = error
        trainer.hooks.tell_exception(trainer)
        if isinstance(error, torch.OutOfMemoryError) and (trainer.due or trainer.micro_batches):
            raise DeviceOutOfMemory(error, trainer) from error
        raise

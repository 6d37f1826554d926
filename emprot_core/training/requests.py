"""Requests of hooks to stop or to save, and how the ranks agree on a stop."""

from collections.abc import Callable, Sequence
from typing import Any

from emprot_core.batch import Batch, target_mask
from emprot_core.distributed import max_over_ranks
from emprot_core.errors import EmprotError
from emprot_core.hooks.base import StopRequest

State = dict[str, Any]


class Requests:
    """Keeps requests until every hook has handled the event; then the trainer acts on them.

    If one rank asks to stop, all ranks stop. All ranks must call the agree_on functions together.
    """

    def __init__(self) -> None:
        self.stop: StopRequest | None = None
        """The stop that all ranks agreed on."""
        self._stops: list[StopRequest] = []
        self._saves: list[Callable[[State], None]] = []

    def ask_to_stop(self, reason: str, exit_status: int = 0) -> None:
        """End training before the next step. Of several requests the one with the highest exit status counts."""
        self._stops.append(StopRequest(reason, exit_status))

    def ask_to_save(self, write: Callable[[State], None]) -> None:
        """Ask for one call of `write(state)` by `write_saves`. All ranks must ask for the same."""
        if write not in self._saves:
            self._saves.append(write)

    def agree_on_stop(self) -> bool:
        """Whether training ends here, because some rank asked to stop."""
        if self.stop is None:
            (highest,) = max_over_ranks([_code(self._most_urgent)])
            if highest:
                self._settle_on(highest)
        return self.stop is not None

    def agree_on_leaving(self) -> bool:
        """Whether training ends here but can be resumed: the stop has an exit status other than 0."""
        return self.agree_on_stop() and self.stop is not None and self.stop.exit_status != 0

    def agree_on_step(self, micro_batches: Sequence[Batch], is_last: bool) -> bool:
        """As `agree_on_stop`. The same reduction also checks the coming step.

        Raises:
            EmprotError: no rank has a valid target in this step, or one rank's epoch has fewer steps than another's.
        """
        if self.stop is not None:
            return True
        has_target = any(_has_target(batch) for batch in micro_batches)
        flags = [_code(self._most_urgent), int(has_target), int(is_last), int(not is_last)]
        highest, anyone_has_target, anyone_ends, anyone_goes_on = max_over_ranks(flags)
        if anyone_ends and anyone_goes_on:
            raise EmprotError(
                "the train loader of one rank has fewer optimizer steps than that of another; give every rank as many "
                "batches (a torch DistributedSampler does)"
            )
        if not anyone_has_target:
            raise EmprotError(
                "the optimizer step has no valid target: future_step_mask & residue_mask & (future_cluster_ids >= 0) "
                "is False everywhere in its micro-batches; leave such windows out, or check that the masks are True "
                "where a target counts"
            )
        if highest:
            self._settle_on(highest)
        return highest > 0

    def write_saves(self, state_dict: Callable[[], State]) -> None:
        """Collect the state once, and call every `write` that was asked for with it."""
        if self._saves:
            state, writers, self._saves = state_dict(), self._saves, []
            for write in writers:
                write(state)

    def reasons(self) -> list[str]:
        """The reasons of requests to finish (exit status 0). A killed run must still know them when it is resumed."""
        return [stop.reason for stop in self._stops if stop.exit_status == 0]

    def restore(self, reasons: Sequence[str]) -> None:
        self._stops = [StopRequest(reason) for reason in reasons]

    @property
    def _most_urgent(self) -> StopRequest | None:
        if not self._stops:  # as in almost every step
            return None
        return max(self._stops, key=lambda stop: (stop.exit_status, stop.reason))

    def _settle_on(self, highest: int) -> None:
        own = self._most_urgent
        self.stop = own if highest == _code(own) else StopRequest("another rank asked to stop", highest - 1)


def _code(asked: StopRequest | None) -> int:
    return 0 if asked is None else 1 + asked.exit_status


def _has_target(batch: Batch) -> bool:
    """True if any target counts. Look at the middle residue first: chain ends usually have no ID."""
    # Use NumPy arrays: reading one number from an array takes a tenth of the time that it takes from a tensor.
    targets, steps, residues = (
        (tensor if tensor.is_cpu else tensor.cpu()).numpy()
        for tensor in (batch["future_cluster_ids"], batch["future_step_mask"], batch["residue_mask"])
    )
    middle = targets.shape[2] // 2
    if targets[0, 0, middle] >= 0 and steps[0, 0] and residues[0, middle]:
        return True
    return bool(target_mask(batch).any())

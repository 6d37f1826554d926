"""What ranks must agree on before each optimizer step, so that none waits for another in vain."""

from emprot_core.batch import Batch, target_mask
from emprot_core.distributed import max_over_ranks
from emprot_core.hooks.base import StopRequest


def agree_on_stop(asked: StopRequest | None) -> StopRequest | None:
    """The stop of all ranks, once any of them asked for one: that with the highest exit status."""
    (highest,) = max_over_ranks([_code(asked)])
    return _stop_of(highest, asked)


def agree_on_step(asked: StopRequest | None, micro_batches: list[Batch], is_last: bool) -> StopRequest | None:
    """`agree_on_stop`, and in the same reduction a check of the step to come.

    Raises:
        ValueError: no rank has a valid target in this step, or one rank's epoch has fewer steps than another's.
    """
    has_target = any(_has_target(batch) for batch in micro_batches)
    flags = [_code(asked), int(has_target), int(is_last), int(not is_last)]
    highest, anyone_has_target, anyone_ends, anyone_goes_on = max_over_ranks(flags)
    if anyone_ends and anyone_goes_on:
        raise ValueError(
            "the train loader of one rank has fewer optimizer steps than that of another; give every rank as many "
            "batches (a torch DistributedSampler does)"
        )
    if not anyone_has_target:
        raise ValueError(
            "the optimizer step has no valid target: future_step_mask & residue_mask & (future_cluster_ids >= 0) is "
            "False everywhere in its micro-batches; leave such windows out, or check that the masks are True where a "
            "target counts"
        )
    return _stop_of(highest, asked)


def _has_target(batch: Batch) -> bool:
    """Whether a position counts. Mostly one look shows it, and one in the middle: the ends of a chain have no ID."""
    # As arrays: to look at one number takes a tenth of the time that it takes in a tensor.
    targets, steps, residues = (
        (tensor if tensor.is_cpu else tensor.cpu()).numpy()
        for tensor in (batch["future_cluster_ids"], batch["future_step_mask"], batch["residue_mask"])
    )
    middle = targets.shape[2] // 2
    if targets[0, 0, middle] >= 0 and steps[0, 0] and residues[0, middle]:
        return True
    return bool(target_mask(batch).any())


def _code(asked: StopRequest | None) -> int:
    return 0 if asked is None else 1 + asked.exit_status


def _stop_of(highest: int, asked: StopRequest | None) -> StopRequest | None:
    return asked if highest == _code(asked) else StopRequest("another rank asked to stop", highest - 1)

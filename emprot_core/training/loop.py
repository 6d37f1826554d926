"""The loop: the steps of an epoch, and what is due after each of them, such as a validation."""

from collections.abc import Iterable, Iterator
from contextlib import nullcontext
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from emprot_core.batch import Batch, move_batch, validate_batch
from emprot_core.conformance.training import check_step
from emprot_core.contracts import StepLoader
from emprot_core.distributed import until_all_ranks_end
from emprot_core.errors import EmprotError
from emprot_core.training import steps
from emprot_core.training.forward_loss import MetricTerms
from emprot_core.training.sums import MetricSums

if TYPE_CHECKING:
    from emprot_core.training.trainer import Trainer

VALIDATION, EPOCH_END = "validation", "epoch end"  # what may be due after a step, in this order


def run_epoch(trainer: "Trainer", loader: StepLoader, val_loader: Iterable[Batch] | None, until: int | None) -> None:
    """Train the rest of the epoch. Stop early when trainer.step reaches `until`, or when a rank asks to stop.

    Raises:
        EmprotError: the whole epoch is left, but the loader gives nothing.
    """
    epoch = trainer.epoch
    if not trainer.micro_batches_done:
        trainer.epoch_sums = MetricSums()
        trainer.hooks.emit("on_epoch_start", trainer)
    left = loader.steps(epoch, steps.steps_done(trainer), trainer.grad_accum_steps)
    for micro_batches, is_last in with_last(left):
        if trainer.step == until:
            return
        for batch in micro_batches:
            validate_batch(batch, trainer.num_clusters, trainer.future_horizon, needs_target=False)
        if trainer.stops.agree_on_step(micro_batches, is_last):
            return
        check_once(trainer, micro_batches[0])
        train_step(trainer, micro_batches)
        trainer.due = [VALIDATION] * steps.is_validation_due(trainer, is_last) + [EPOCH_END] * is_last
        do_what_is_due(trainer, val_loader)
    if trainer.epoch == epoch and not trainer.due:  # the loader had no step left
        if not trainer.micro_batches_done:
            raise EmprotError(
                f"the train loader gave no batch in epoch {epoch + 1}; give an iterable that can be read anew in every "
                "epoch (a list, a DataLoader), or lower max_epochs or max_steps to what it holds"
            )
        trainer.due = [EPOCH_END]
        do_what_is_due(trainer, val_loader)


def check_once(trainer: "Trainer", batch: Batch) -> None:
    """Hold model, loss and metrics of a new training against their contracts, on a few windows of the first batch.

    Raises:
        ContractBroken: one breaks its contract; the message names it.
    """
    if not trainer.is_checked and not trainer.step:
        check_step(*trainer.parts, batch, trainer.run.device)
    trainer.is_checked = True


def train_step(trainer: "Trainer", micro_batches: list[Batch]) -> None:
    """One optimizer step: gradients of the micro-batches, the update, the logs."""
    trainer.hooks.emit("on_step_start", trainer)
    if not (trainer.forward_loss.training and trainer.model.training):
        trainer.forward_loss.train()  # it visits every module, so it is skipped when the mode is already right
    trainer.micro_batches = [move_batch(batch, trainer.run.device) for batch in micro_batches]
    sums = trainer.updates.backward(trainer.forward_loss, trainer.micro_batches, trainer.autocast)
    trainer.step_loss = sums.total("total_loss") / sums.weight("total_loss")
    trainer.log_sums.add_sums(sums)
    trainer.epoch_sums.add_sums(sums)
    trainer.hooks.emit("on_backward_end", trainer)
    trainer.updates.step()
    trainer.step += 1
    trainer.micro_batches_done += trainer.micro_batches_per_step
    trainer.logs = None
    if trainer.is_log_step:
        trainer.logs = trainer.log_sums.collect() | trainer.updates.logs() | trainer.hooks.scalars(trainer)
    trainer.hooks.emit("on_step_end", trainer)


def do_what_is_due(trainer: "Trainer", val_loader: Iterable[Batch] | None) -> None:
    """Validate, end the epoch, and only then save. A validation that a hook cut short stays due."""
    while trainer.due:
        if trainer.due[0] == EPOCH_END:
            trainer.epoch, trainer.micro_batches_done = trainer.epoch + 1, 0
            trainer.hooks.emit("on_epoch_end", trainer)
        elif val_loader is not None and (trainer.stops.agree_on_leaving() or not trainer.validate(val_loader)):
            break
        del trainer.due[0]
    trainer.write_saves()


def validate(trainer: "Trainer", loader: Iterable[Batch]) -> dict[str, float]:
    """Score all batches of all ranks, and emit the events of validation. Gives the means as val/<metric>.

    If a hook asks to leave meanwhile, the result is empty, and `val_logs` and `best` stay as they were.

    Raises:
        EmprotError: there is no batch.
    """
    trainer.hooks.emit("on_validation_start", trainer)
    sums = MetricSums()
    with trainer.use_evaluation_weights():
        for terms in score(trainer, loader):
            sums.add(terms)
            trainer.hooks.emit("on_validation_step_end", trainer)
            if trainer.stops.agree_on_leaving():
                return {}
    means = sums.over_ranks_of_any_length().means("val/")
    if not means:
        raise EmprotError("the validation loader gave no batch; give it one, or train without validation")
    trainer.val_logs, loss = means, means["val/total_loss"]
    trainer.is_best = loss < trainer.best.get("val/total_loss", float("inf"))
    if trainer.is_best:
        trainer.best = {"val/total_loss": loss, "step": trainer.step}
    trainer.hooks.emit("on_validation_end", trainer)
    return means


@torch.no_grad()
def score(trainer: "Trainer", loader: Iterable[Batch]) -> Iterator[MetricTerms]:
    """The (sum, weight) pairs of each batch, in evaluation mode and without events.

    It ends on all ranks together: one that has no batch left gives no pairs until the others are done.
    """
    trainer.forward_loss.eval()
    for batch in until_all_ranks_end(loader):
        terms: MetricTerms = {}
        if batch is not None:
            validate_batch(batch, trainer.num_clusters, trainer.future_horizon)
            with trainer.autocast():
                terms = trainer.forward_loss(move_batch(batch, trainer.run.device))[2]
        yield terms


def evaluation_weights(trainer: "Trainer") -> dict[str, Tensor] | None:
    """The weights that validation uses, or None if they are the model's own."""
    if trainer.use_evaluation_weights is nullcontext:
        return None
    with trainer.use_evaluation_weights():
        return {name: value.clone() for name, value in trainer.model.state_dict().items()}


def with_last(micro_batches: Iterator[list[Batch]]) -> Iterator[tuple[list[Batch], bool]]:
    """The micro-batches of each step, paired with whether it is the last step."""
    for step in micro_batches:
        for following in micro_batches:
            yield step, False
            step = following
        yield step, True

"""Scores batches in evaluation mode, and runs the validation of a training."""

from collections.abc import Iterable, Iterator
from typing import Any

import torch

from emprot_core.batch import Batch, move_batch, validate_batch
from emprot_core.distributed import until_all_ranks_end
from emprot_core.errors import EmprotError
from emprot_core.training.forward_loss import MetricTerms
from emprot_core.training.sums import MetricSums


@torch.no_grad()
def score(trainer: Any, loader: Iterable[Batch]) -> Iterator[MetricTerms]:
    """The (sum, weight) pairs of each batch of this rank. Emits no events."""
    trainer.forward_loss.eval()
    for batch in loader:
        with trainer.autocast():
            validate_batch(batch, trainer.model.num_clusters, trainer.model.future_horizon)
            terms = trainer.forward_loss(move_batch(batch, trainer.run.device))[2]
        yield terms


def run(trainer: Any, loader: Iterable[Batch]) -> dict[str, float]:
    """Validate and emit the events of validation. Gives the means over all batches and ranks as val/<metric>.

    If a hook asks to leave meanwhile, the result is empty, and `val_logs` and `best` stay as they were.

    Raises:
        EmprotError: there is no batch.
    """
    trainer.hooks.emit("on_validation_start", trainer)
    sums = MetricSums()
    with trainer.use_evaluation_weights():
        for terms in until_all_ranks_end(score(trainer, loader)):
            sums.add(terms or {})
            trainer.hooks.emit("on_validation_step_end", trainer)
            if trainer.requests.agree_on_leaving():
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

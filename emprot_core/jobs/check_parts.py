"""Holds the parts of a training against their contracts, on its first batch."""

from collections.abc import Sequence

from emprot_core.batch import Batch
from emprot_core.conformance.baselines import check_baselines, check_scores
from emprot_core.conformance.data import check_batch
from emprot_core.conformance.values import some_windows
from emprot_core.contracts import Baseline, Data, Score
from emprot_core.training.loop import check_once
from emprot_core.training.trainer import Trainer


def check_parts(
    trainer: Trainer, data: Data, baselines: Sequence[Baseline], scores: Sequence[Score], batch: Batch
) -> None:
    """Check data, model, loss and metrics; in a new training the baselines and scores too, on copies.

    Raises:
        ContractBroken: a part breaks its contract; the message names it.
    """
    check_batch(data, batch, trainer.future_horizon)
    check_once(trainer, batch)
    if not trainer.step and (windows := some_windows(batch)) is not None:
        check_baselines(baselines, windows, trainer.num_clusters)
        check_scores(scores, windows, trainer.num_clusters)

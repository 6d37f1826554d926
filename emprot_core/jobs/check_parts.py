"""Holds the parts of a training against their contracts, on its first batch."""

from collections.abc import Sequence

from emprot_core.batch import Batch
from emprot_core.config import Config
from emprot_core.conformance.baselines import check_baselines, check_scores
from emprot_core.conformance.data import check_batch, check_data
from emprot_core.conformance.values import some_windows
from emprot_core.contracts import Baseline, Data, Score
from emprot_core.evaluation.beside_baselines import check_names
from emprot_core.jobs.counts import give_transitions
from emprot_core.jobs.rehearsal import rehearse
from emprot_core.training.loop import check_once
from emprot_core.training.trainer import Trainer
from emprot_core.training.updates import Updates


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


def check_training(config: Config) -> None:
    """Check all parts of a training, its optimizer and scheduler too. Nothing is trained, and nothing is left behind.

    Raises:
        ContractBroken: a part breaks its contract; the message names it.
        RunRefused: the config trains nothing.
    """
    trainer, data, _ = rehearse(config)
    check_data(data)
    give_transitions(data, trainer.model)
    baselines: Sequence[Baseline] = config.build("Train.baselines") if config.get("Train.baselines") else ()
    scores: Sequence[Score] = config.build("Train.scores") if config.get("Train.scores") else ()
    check_names(baselines)
    check_parts(trainer, data, baselines, scores, next(iter(data.all_windows("train"))))
    Updates(trainer.model, *trainer.factories, num_steps=100)

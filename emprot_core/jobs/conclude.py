"""The end of a training run: the best weights are scored once on the test split, and the verdict is told last."""

import copy
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch

from emprot_core.checkpoint import CheckpointError, CheckpointStore
from emprot_core.checkpoint.names import BEST
from emprot_core.contracts import Baseline, Data, Score, SeenWindows, Tested
from emprot_core.distributed import rank
from emprot_core.evaluation.beside_baselines import applicable, samples_of, score_beside_baselines, unseen_groups
from emprot_core.evaluation.forecast import ModelForecast
from emprot_core.evaluation.further_scores import tell_of_data
from emprot_core.evaluation.intervals import BETTER
from emprot_core.evaluation.seen_windows import look
from emprot_core.evaluation.table import format_scores
from emprot_core.evaluation.token_scores import SCORE_VERSION
from emprot_core.evaluation.verdict import verdict_line
from emprot_core.jobs.code_version import code_version
from emprot_core.jobs.fitted_baselines import write_arrays
from emprot_core.jobs.forward import outputs_of
from emprot_core.jobs.load import best_weights
from emprot_core.jobs.run_card import write_card
from emprot_core.jobs.settings import TOKEN_SCORES
from emprot_core.jobs.splits import describe_splits
from emprot_core.training.trainer import Trainer

_log = logging.getLogger("emprot")


class Scored(NamedTuple):
    """The step of the scored weights, the entry "test" of result.json, and the SHA-256 of each file beside it."""

    step: int
    test: dict[str, Any] | None
    files: dict[str, str]


def score_test_split(
    trainer: Trainer,
    baselines: Sequence[Baseline],
    data: Data,
    device: torch.device,
    directory: Path,
    further: Sequence[Score] = (),
) -> Scored:
    """Score the best weights of a run beside fitted baselines, and keep every token's NLL in scores-test.npz.

    Without test windows `test` is None.
    """
    step = use_best_weights(trainer, CheckpointStore(directory / "checkpoints"))
    if not data.num_windows("test"):
        return Scored(step, None, {})
    model = ModelForecast([outputs_of(trainer.model, trainer.autocast)], device)
    rivals = applicable(baselines, unseen_groups(data, "test"), "test")
    tell_of_data(further, data, data)
    judged = score_beside_baselines([model], rivals, data, trainer.future_horizon, device, further=further)
    files = {}
    if rank() == 0 and judged.tokens.names:
        files[TOKEN_SCORES] = write_arrays(directory / TOKEN_SCORES, judged.tokens.arrays(data, "test"))
    return Scored(step, judged.test(), files)


def tell_hooks(
    trainer: Trainer, scored: Scored, data: Data, device: torch.device, baselines: Sequence[Baseline]
) -> None:
    """Emit on_test_end: what came out, and a look at the first test windows for whoever asks for it."""

    def look_at_windows() -> SeenWindows | None:
        return look(ModelForecast([outputs_of(trainer.model, trainer.autocast)], device), data, trainer.future_horizon)

    shown = [each.name for each in baselines if getattr(each, "always_shown", False)]
    told = ("", "") if scored.test is None else (format_scores(scored.test, shown), verdict_line(scored.test))
    trainer.tested = Tested(scored.test, *told, look_at_windows, scored.files)
    trainer.hooks.emit("on_test_end", trainer)


def details_of(scored: Scored, trainer: Trainer, data: Data, directory: Path, gin_file: str) -> dict[str, Any]:
    """Write the run card, and give what result.json says of a finished run: scores, data, code, hashes of files."""
    return {
        "scored_step": scored.step,
        "test": scored.test,
        "splits": describe_splits(data),
        "sampled": {split: sample._asdict() for split, sample in samples_of(data).items()},
        "vocabulary": {"name": data.vocabulary.name, "num_clusters": data.vocabulary.num_clusters},
        "score_version": SCORE_VERSION,
        "code": code_version(gin_file),
        "files": {**scored.files, **write_card(directory, trainer, data, scored.test)},
    }


def use_best_weights(trainer: Trainer, checkpoints: CheckpointStore) -> int:
    """Load the weights of the best validation, or the last ones if no valid checkpoint has the best.

    Returns:
        The step of the weights.
    """
    best_step = trainer.best.get("step")
    if best_step is not None:
        try:
            state = checkpoints.load(BEST)
            trainer.model.load_state_dict(best_weights(state))
            return state["step"]
        except CheckpointError as error:
            text = "%s; no valid checkpoint holds the best weights (step %d); the last ones are scored"
            _log.warning(text, error, best_step)
    with trainer.use_evaluation_weights():
        last = copy.deepcopy(trainer.model.state_dict())
    trainer.model.load_state_dict(last)
    return trainer.step


def log_test(step: int, path: Path, trainer: Trainer, reason: str, advice: str) -> None:
    """Log the table with intervals, hints, the paths, and as the very last line the verdict.

    Args:
        step: of the scored weights.
        path: of result.json.
    """
    assert trainer.tested is not None
    test = trainer.tested.scores
    if test is not None:
        _log.info("\nTest split, weights of step %d:\n\n%s\n", step, trainer.tested.table)
    if trainer.best.get("step") == trainer.step and trainer.stop is None:
        limit = "max_epochs" if trainer.max_steps is None or trainer.step < trainer.max_steps else "max_steps"
        binding = f"Trainer.{limit}={2 * getattr(trainer, limit)}"
        _log.info("the validation loss still fell at the last step: train longer, with %s", binding)
    if advice and test is not None and test["verdict"] != BETTER:
        _log.info("%s", advice)
    _log.info("%s; %s", reason, path)
    if test is None:
        _log.info(
            "there are no test windows; this judges the run on its validation split: emprot-run "
            "--gin_file=evaluate.gin Evaluate.run=%s Evaluate.split=validation",
            path.parent,
        )
    else:
        _log.info("%s", trainer.tested.verdict)

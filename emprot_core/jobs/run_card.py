"""README.md of a run: what was trained on what, the verdict, and what the result does not say."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from emprot_core.contracts import Data
from emprot_core.distributed import rank
from emprot_core.evaluation.table import format_scores
from emprot_core.evaluation.verdict import verdict_line
from emprot_core.files import write_atomically
from emprot_core.jobs.splits import describe_splits, split_lines
from emprot_core.training.trainer import Trainer

CARD = "README.md"


def write_card(directory: Path, trainer: Trainer, data: Data, test: Mapping[str, Any] | None) -> dict[str, str]:
    """Write the card. Only rank 0 writes.

    Args:
        test: the entry "test" of result.json; None without test windows.

    Returns:
        Its SHA-256 by its name, for result.json.
    """
    if rank() != 0:
        return {}
    text = "\n".join(_lines(directory.name, trainer, data, test))
    return {CARD: write_atomically(directory / CARD, f"{text}\n".encode())}


def _lines(name: str, trainer: Trainer, data: Data, test: Mapping[str, Any] | None) -> Iterator[str]:
    model, vocabulary = trainer.model, data.vocabulary
    parameters = sum(parameter.numel() for parameter in model.parameters())
    yield from (f"# {name}", "")
    made = f"{type(model).__name__} with {parameters:,} parameters, trained by EMPROT for {trainer.step} steps."
    ids = f"cluster IDs (vocabulary {vocabulary.name}, {vocabulary.num_clusters} classes)"
    yield f"{made} It forecasts the {ids} of every residue in the next {trainer.future_horizon} frames."
    yield from ("", "## Data", "")
    yield from (f"- {line}" for line in split_lines(data))
    yield from ("", "## Result", "")
    if test is None:
        yield "There are no test windows, so the run was not judged."
    else:
        yield from (f"{verdict_line(test).capitalize()}.", "", "```", format_scores(test, []).strip("\n"), "```")
    yield from ("", "## Limits", "")
    yield from (f"- {limit}" for limit in _limits(trainer, data))
    yield from ("", "## Again", "", "```sh", "emprot-run --gin_file=config.gin run.directory=again", "```", "")
    yield "`config.gin` holds every binding, and `result.json` the figures, the versions and the hashes of the data."


def _limits(trainer: Trainer, data: Data) -> Iterator[str]:
    splits = describe_splits(data)
    train, test = set(splits["train"]), set(splits["test"])
    if getattr(trainer.model, "same_protein", False):
        yield "The model knows residues by their index: it means something on the proteins of training alone."
    if test and test <= train:
        yield "The test frames are of proteins that training saw; the result says nothing about other proteins."
    if len(test) < 2:
        yield "The test has one protein or none: how much proteins differ is not known."
    yield "The best weights were chosen on the validation split, and the test split was scored once."

"""Scores a model and the baselines that it must beat, on the same targets."""

import logging
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import torch

from emprot_core.batch import Batch
from emprot_core.contracts import Baseline, Data, Outputs, Split
from emprot_core.errors import EmprotError
from emprot_core.evaluation.forecast import model_forecaster
from emprot_core.evaluation.scores import Forecaster, Scores, score
from emprot_core.evaluation.token_scores import TokenScores, group_names
from emprot_core.evaluation.verdict import judge

MODEL = "model"
_log = logging.getLogger("emprot")


def score_model(
    forward: Callable[[Batch], Outputs], batches: Iterable[Batch], horizon: int, device: torch.device
) -> Scores:
    """The scores of a model alone; see model_forecaster for `forward`."""
    return score({MODEL: model_forecaster(forward, device)}, batches, horizon, device)[MODEL]


def check_names(baselines: Sequence[Baseline]) -> None:
    """Raise EmprotError if two baselines have the same name, or one is named `model`."""
    names = [MODEL, *(baseline.name for baseline in baselines)]
    if twice := {name for name in names if names.count(name) > 1}:
        raise EmprotError(f"two forecasters are named {min(twice)!r}; list each baseline once, under its own name")


def fit(baseline: Baseline, data: Data) -> None:
    """Fit a baseline on all windows of the training (and validation) split. Every rank fits the same.

    Raises:
        EmprotError: the training split has no windows.
    """
    validation = data.all_windows("validation") if data.num_windows("validation") else ()
    baseline.fit(data.all_windows("train"), validation, data.vocabulary.num_clusters)


def unseen_groups(data: Data, split: Split) -> list[str]:
    """The proteins of a split that training has no frame of."""
    seen = group_names(data, "train")
    return [name for number, name in group_names(data, split).items() if number not in seen]


def applicable(baselines: Sequence[Baseline], data: Data, split: Split) -> list[Baseline]:
    """The baselines that can forecast a split. Those that know only proteins of training are left out, and logged."""
    unseen = unseen_groups(data, split)
    left_out = [each for each in baselines if unseen and getattr(each, "same_protein", False)]
    if left_out:
        names = ", ".join(each.name for each in left_out)
        _log.info("%s: left out of the %s split, as training has no frame of %s", names, split, ", ".join(unseen[:8]))
    return [each for each in baselines if each not in left_out]


def score_baselines(
    baselines: Sequence[Baseline], data: Data, horizon: int, split: Split = "test", device: torch.device | None = None
) -> dict[str, Scores]:
    """The scores on a split of baselines that are fitted, by name. Ranks exchange sums on `device`."""
    forecasters = {each.name: each.predict for each in applicable(baselines, data, split)}
    return score(forecasters, data.loader(split), horizon, device)


def score_beside_baselines(
    forward: Callable[[Batch], Outputs],
    baselines: Sequence[Baseline],
    data: Data,
    horizon: int,
    device: torch.device,
    split: Split = "test",
) -> tuple[dict[str, Any], TokenScores]:
    """Score a model and baselines that are fitted in one pass over a split.

    Returns:
        What result.json holds under "test", in JSON values: {"model": Scores, "baselines": {name: Scores}} and what
        `judge` gives. And the NLL of every token.
    """
    forecasters: dict[str, Forecaster] = {each.name: each.predict for each in applicable(baselines, data, split)}
    forecasters[MODEL] = model_forecaster(forward, device)
    tokens = TokenScores(MODEL)
    scores = score(forecasters, data.loader(split), horizon, device, tokens)
    tokens.merge()
    judged = judge(tokens, scores, group_names(data, split))
    return {"model": scores.pop(MODEL), "baselines": scores, **judged}, tokens

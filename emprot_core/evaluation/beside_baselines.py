"""Scores a model and the baselines that it must beat, on the same targets."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import torch

from emprot_core.batch import Batch
from emprot_core.contracts import Baseline, Data, Outputs, Split
from emprot_core.errors import EmprotError
from emprot_core.evaluation.forecast import model_forecaster
from emprot_core.evaluation.scores import Forecaster, Scores, score

MODEL = "model"


def score_model(
    forward: Callable[[Batch], Outputs], batches: Iterable[Batch], horizon: int, device: torch.device
) -> Scores:
    """The scores of a model alone; see model_forecaster for `forward`."""
    return score({MODEL: model_forecaster(forward, device)}, batches, horizon, device)[MODEL]


def fit_baselines(baselines: Sequence[Baseline], data: Data) -> None:
    """Fit each baseline on all windows of the training (and validation) split. Every rank fits the same.

    Raises:
        EmprotError: two baselines have the same name, one is named `model`, or the training split has no windows.
    """
    names = [MODEL, *(baseline.name for baseline in baselines)]
    if twice := {name for name in names if names.count(name) > 1}:
        raise EmprotError(f"two forecasters are named {min(twice)!r}; list each baseline once, under its own name")
    validation = data.all_windows("validation") if data.num_windows("validation") else ()
    for baseline in baselines:
        baseline.fit(data.all_windows("train"), validation, data.vocabulary.num_clusters)


def score_baselines(
    baselines: Sequence[Baseline], data: Data, horizon: int, split: Split = "test", device: torch.device | None = None
) -> dict[str, Scores]:
    """Fit the baselines and score them on a split, by name. Ranks exchange sums on `device`."""
    fit_baselines(baselines, data)
    return score({each.name: each.predict for each in baselines}, data.loader(split), horizon, device)


def score_beside_baselines(
    forward: Callable[[Batch], Outputs],
    baselines: Sequence[Baseline],
    data: Data,
    horizon: int,
    device: torch.device,
    split: Split = "test",
) -> dict[str, Any]:
    """Fit the baselines, then score them and the model in one pass over a split.

    Returns:
        {"model": Scores, "baselines": {name: Scores}}, in JSON values: the entry "test" of result.json.
    """
    fit_baselines(baselines, data)
    forecasters: dict[str, Forecaster] = {each.name: each.predict for each in baselines}
    forecasters[MODEL] = model_forecaster(forward, device)
    scores = score(forecasters, data.loader(split), horizon, device)
    return {"model": scores.pop(MODEL), "baselines": scores}

"""Baselines fitted on the training split of some data and scored on its test split."""

from collections.abc import Sequence
from typing import Any

from emprot_core.contracts import Baseline, Data
from emprot_core.evaluation.beside_baselines import fit, score_baselines


def fitted_scores(baselines: Sequence[Baseline], data: Data, horizon: int) -> dict[str, Any]:
    for baseline in baselines:
        fit(baseline, data)
    return score_baselines(baselines, data, horizon)

"""The scores of a finished training on its test split."""

from collections.abc import Sequence
from typing import Any

import torch

from emprot_core.contracts import Baseline, Data
from emprot_core.evaluation import score_beside_baselines
from emprot_core.jobs.forward import outputs_of


def score_test_split(trainer: Any, baselines: Sequence[Baseline], data: Data, device: torch.device) -> Any:
    """The entry "test" of result.json: the model beside the baselines; None if the data have no test windows."""
    if not data.num_windows("test"):
        return None
    forward = outputs_of(trainer.model, trainer.autocast)
    return score_beside_baselines(forward, baselines, data, trainer.future_horizon, device)

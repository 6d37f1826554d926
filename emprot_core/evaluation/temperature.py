"""A temperature for each horizon, by which the logits of a model are divided so that its confidence is right.

Source: Guo et al. 2017, On calibration of modern neural networks.
"""

from collections.abc import Iterable

import torch

from emprot_core.batch import Batch, target_mask
from emprot_core.distributed import sum_over_ranks
from emprot_core.evaluation.forecast import ModelForecast

_STEPS = 20
_LOWEST, _HIGHEST = 0.05, 20.0  # of 1 / temperature


@torch.inference_mode()
def fit_temperatures(model: ModelForecast, batches: Iterable[Batch], horizon: int) -> list[float]:
    """(F,) the temperatures with the lowest NLL on the batches, by Newton's method on its convex function of 1 / T.

    Every step is one pass over the batches, which are divided among the ranks; all ranks must call it.

    Args:
        model: without temperatures of its own.
    """
    inverse = torch.ones(horizon, dtype=torch.float64)
    for _ in range(_STEPS):
        sums = torch.zeros(2, horizon, dtype=torch.float64)
        for batch in batches:
            sums += _slopes(model, batch, inverse)
        slope, curvature = sum_over_ranks(sums.to(model.device)).cpu()
        step = torch.where(curvature > 0, slope / curvature.clamp(min=1e-12), 0.0)
        inverse, before = (inverse - step.clamp(-0.5, 0.5)).clamp(_LOWEST, _HIGHEST), inverse
        if (inverse - before).abs().max() < 1e-6:
            break
    return (1 / inverse).tolist()


def _slopes(model: ModelForecast, batch: Batch, inverse: torch.Tensor) -> torch.Tensor:
    """(2, F): the sums over targets of the first and second derivative of the NLL by 1 / T.

    They are E[z] - z_target and Var[z] of the logits z, under the probabilities at T.
    """
    logits = model.logits(batch)
    mask, targets = target_mask(batch).to(logits.device), batch["future_cluster_ids"].to(logits.device)
    sums = torch.zeros(2, len(inverse), dtype=torch.float64)
    for step, beta in enumerate(inverse.tolist()):
        chosen = logits[:, step][mask[:, step]].float()
        weights = (beta * chosen).softmax(dim=-1)
        mean = (weights * chosen).sum(dim=-1)
        hit = chosen.gather(1, targets[:, step][mask[:, step]][:, None])[:, 0]
        sums[0, step] = (mean - hit).sum(dtype=torch.float64).cpu()
        sums[1, step] = (weights * (chosen - mean[:, None]) ** 2).sum(dtype=torch.float64).cpu()
    return sums

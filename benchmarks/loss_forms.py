"""Forms of one loss: from features and weight to the sum of the cross-entropy over the positions that count."""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from emprot_core import registry
from emprot_core.batch import Batch, target_mask

SEED_FORM = "project_all"


@dataclass
class Problem:
    """What every form gets."""

    features: Tensor  # (B, F, N, D)
    weight: Tensor  # (C, D)
    batch: Batch


def project_all(problem: Problem) -> Tensor:
    """All logits, then those of the positions that count: the form the project started from."""
    mask = target_mask(problem.batch)
    logits = F.linear(problem.features, problem.weight)[mask]
    return F.cross_entropy(logits.float(), problem.batch["future_cluster_ids"][mask], reduction="sum")


def mask_first(problem: Problem) -> Tensor:
    """The logits of the positions that count alone."""
    mask = target_mask(problem.batch)
    logits = F.linear(problem.features[mask], problem.weight)
    return F.cross_entropy(logits.float(), problem.batch["future_cluster_ids"][mask], reduction="sum")


def masked_cross_entropy(problem: Problem) -> Tensor:
    """All logits and losses.MaskedCrossEntropy, scores included."""
    outputs = {"cluster_logits": F.linear(problem.features, problem.weight)}
    return registry.get("loss", "MaskedCrossEntropy")()(outputs, problem.batch).sum


def linear_cross_entropy(problem: Problem, chunk_rows: int | None = None) -> Tensor:
    """losses.LinearCrossEntropy as it comes, scores included."""
    outputs = {"features": problem.features, "weight": problem.weight, "bias": None}
    return registry.get("loss", "LinearCrossEntropy")(chunk_rows=chunk_rows)(outputs, problem.batch).sum


def linear_cross_entropy_64(problem: Problem) -> Tensor:
    """The same in chunks of 64 rows, for the least memory."""
    return linear_cross_entropy(problem, chunk_rows=64)


def torch_linear_cross_entropy(problem: Problem) -> Tensor:
    """torch's own, where it has one, of the positions that count; it chooses the chunks."""
    mask = target_mask(problem.batch)
    targets = problem.batch["future_cluster_ids"][mask]
    options = torch.nn.LinearCrossEntropyOptions()
    return F.linear_cross_entropy(problem.features[mask], problem.weight, targets, reduction="sum", options=options)


FORMS = {
    form.__name__: form
    for form in (project_all, mask_first, masked_cross_entropy, linear_cross_entropy, linear_cross_entropy_64)
}
if hasattr(torch.nn, "LinearCrossEntropyOptions"):  # torch 2.13 has it, 2.10 has not
    FORMS[torch_linear_cross_entropy.__name__] = torch_linear_cross_entropy

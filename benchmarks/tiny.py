"""A training so small that starting operations is what takes the time: what every loop of a benchmark trains."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from emprot_core import registry
from emprot_core.batch import Batch

B, K, N, F, C = 4, 4, 8, 2, 32
LEARNING_RATE = 1e-3
LOG_EVERY = 50  # steps
_LOSS = registry.get("loss", "MaskedCrossEntropy")()


@dataclass(frozen=True)
class Problem:
    """What every loop trains."""

    model: nn.Module
    batches: Sequence[Batch]

    @property
    def num_steps(self) -> int:
        return len(self.batches)

    def loss(self, model: nn.Module, batch: Batch) -> Tensor:
        """The mean loss of a batch; `model` is that of the problem, or what a library wraps it in."""
        outputs = model(batch["input_cluster_ids"], None, batch["sequence_lengths"], batch["history_mask"])
        terms = _LOSS(outputs, batch)
        return terms.sum / terms.weight

    def scheduler(self, optimizer: torch.optim.Optimizer) -> torch.optim.lr_scheduler.LRScheduler:
        """The rates of cosine_with_warmup, by torch's LambdaLR."""
        ours = registry.get("scheduler", "cosine_with_warmup")(optimizer, self.num_steps)
        return torch.optim.lr_scheduler.LambdaLR(optimizer, ours.lr_lambdas)


class TinyModel(nn.Module):
    """The last frame's IDs through some layers: the contract of a model, and hardly any arithmetic."""

    def __init__(self, width: int, num_layers: int):
        super().__init__()
        self.num_clusters, self.future_horizon = C, F
        self.embedding = nn.Embedding(C + 1, width)
        layers = [(nn.Linear(width, width), nn.ReLU()) for _ in range(num_layers)]
        self.layers = nn.Sequential(*(module for pair in layers for module in pair))
        self.heads = nn.Linear(width, F * C)

    def forward(
        self, ids: Tensor, times: Tensor | None, lengths: Tensor, mask: Tensor, state: Tensor | None = None
    ) -> dict[str, Tensor]:
        context = self.layers(self.embedding(ids[:, -1]))
        logits = self.heads(context).unflatten(-1, (F, C)).transpose(1, 2)
        return {"cluster_logits": logits, "context": context}


def make_batches(num_batches: int) -> list[Batch]:
    """Random IDs, nothing missing."""
    generator = torch.Generator().manual_seed(0)
    ids = torch.randint(0, C, (num_batches, B, K + F, N), generator=generator)
    return [
        {
            "input_cluster_ids": some[:, :K].contiguous(),
            "times": torch.zeros(B, K),
            "sequence_lengths": torch.full((B,), N),
            "history_mask": torch.ones(B, K, N, dtype=torch.bool),
            "residue_mask": torch.ones(B, N, dtype=torch.bool),
            "future_cluster_ids": some[:, K:].contiguous(),
            "future_step_mask": torch.ones(B, F, dtype=torch.bool),
        }
        for some in ids
    ]

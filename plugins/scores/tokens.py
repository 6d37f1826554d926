"""What scores share: the tokens of one horizon, and sums over ranks."""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from emprot_core.batch import Batch, target_mask
from emprot_core.data.history import last_known, observed_history
from emprot_core.distributed import gather

Values = list[float | None]


class Tokens(NamedTuple):
    """The P targets of one horizon that count."""

    step: int  # h - 1
    probabilities: Tensor  # (P, C) float32
    targets: Tensor  # (P,) long
    last: Tensor  # (P,) long, the residue's last observed ID, -1 where there is none

    def of(self, ids: Tensor) -> Tensor:
        """(P,) the probability of one class (P,) at each target."""
        return self.probabilities.gather(1, ids[:, None])[:, 0]


def tokens_of(probabilities: Tensor, batch: Batch) -> Iterator[Tokens]:
    """The tokens of each horizon in turn, so that no more than one is copied; see contracts.Score.add."""
    mask, targets = target_mask(batch), batch["future_cluster_ids"]
    last = torch.from_numpy(last_known(observed_history(batch)))
    for step in range(targets.shape[1]):
        counted = mask[:, step]
        yield Tokens(step, probabilities[:, step][counted], targets[:, step][counted], last[counted])


def over_ranks(sums: np.ndarray) -> np.ndarray:
    """The sums of all ranks."""
    return np.sum(gather(sums), axis=0)


def means(sums: np.ndarray, counts: np.ndarray) -> Values:
    """The means at each horizon, None where nothing was counted."""
    return [float(s / n) if n else None for s, n in zip(sums, counts, strict=True)]

"""The gates of a mixture: how much each part counts for each residue and step, from statistics without labels."""

from collections.abc import Iterable

import torch
from einops import einsum
from torch import Tensor, nn
from torch.nn import functional

_LEAST_DEVIATION = 1e-4  # a statistic that never varies is only centred


class Gates(nn.Module):
    """The logarithms of unnormalised weights, w_h GELU(A z + a) + b_h, z being the standardised statistics.

    A and a are shared by the steps h; w_h, which starts at 0, and b_h are not.
    """

    mean: Tensor  # (S,)
    deviation: Tensor  # (S,)
    is_scaled: Tensor  # () bool: whether mean and deviation were set

    def __init__(self, num_statistics: int, horizon: int, scores: Tensor, width: int):
        """
        Args:
            scores: (P,) the scores that the parts start with; those of experts are the logs of their shares.
            width: of the hidden layer, H.
        """
        super().__init__()
        self.hidden = nn.Linear(num_statistics, width)
        self.weight = nn.Parameter(torch.zeros(horizon, len(scores), width))
        self.bias = nn.Parameter(scores.repeat(horizon, 1))
        self.register_buffer("mean", torch.zeros(num_statistics))
        self.register_buffer("deviation", torch.ones(num_statistics))
        self.register_buffer("is_scaled", torch.tensor(False))

    def forward(self, statistics: Tensor) -> tuple[Tensor, Tensor]:
        """statistics (B, F, N, S) -> scores (B, F, N, P) and the hidden layer (B, F, N, H)."""
        hidden = functional.gelu(self.hidden((statistics - self.mean) / self.deviation))
        scores = einsum(hidden, self.weight, "b f n d, f p d -> b f n p") + self.bias[:, None]
        return scores, hidden

    def set_scales(self, batches: Iterable[Tensor]) -> None:
        """Set mean and deviation, once, from statistics (M, S) of training windows."""
        count, total, squares = 0, self.mean.double() * 0, self.mean.double() * 0
        for values in batches:
            count += len(values)
            total += values.double().sum(0)
            squares += values.double().square().sum(0)
        mean = total / max(1, count)
        deviation = (squares / max(1, count) - mean.square()).clamp_min(0).sqrt()
        self.mean.copy_(mean)
        self.deviation.copy_(torch.where(deviation < _LEAST_DEVIATION, 1.0, deviation))
        self.is_scaled.fill_(True)

"""What experts with rows over all classes share."""

import torch
from torch import Tensor

from emprot_core.batch import MISSING_ID
from emprot_core.contracts import Past, Rows


def at_last(rows: Rows, past: Past) -> Tensor:
    """(B, F, N): the probability of the last ID x_t in each position's row; 0 where it is missing."""
    last = past.ids[:, None, :, -1].expand_as(rows.of)
    values = rows.values.flatten()[rows.of * past.num_clusters + last.clamp_min(0)]
    return torch.where(last == MISSING_ID, 0.0, values)

"""What followed an ID in this window, pooled over all its residues: the protein's own transitions."""

import torch
from einops import rearrange
from torch import Tensor

from emprot_core.batch import MISSING_ID
from emprot_core.contracts import LastIDs, Opinion, Past, Rows
from emprot_core.registry import register

from .rows import at_last

_PRIOR = 4.0  # transitions


@register("expert")
class WindowTable:
    """T_h(y | x_t) = (count + 4 P_h(y | x_t)) / (n + 4), over the pairs (x_s, x_s+h) of all residues with s + h <= t.

    It needs no training on the protein. The gates see log1p(n) / 6 and T_h(x_t | x_t).
    """

    shares = (0.08,)
    num_statistics = 2

    def __call__(self, past: Past) -> Opinion:
        prior = past.pooled(0)
        counts = self._counts(past, past.last_ids(0))  # (F Q, C)
        total = counts.sum(-1, keepdim=True)
        # In place: rows may be as large as the logits.
        rows = Rows(counts.add_(prior.values, alpha=_PRIOR).div_(total + _PRIOR), prior.of)
        num_seen = total[:, 0].log1p()[rows.of] / 6
        return Opinion(torch.stack([num_seen, at_last(rows, past)], dim=-1), rows=(rows,))

    def _counts(self, past: Past, last: LastIDs) -> Tensor:
        """(F Q, C): how often each class followed each last ID in its window, step by step.

        Only rows that are asked for are counted, so nothing of the size C x C is made.
        """
        num_windows, num_rows = len(past.ids), len(last.ids)
        row_of = past.ids.new_full((num_windows, past.num_clusters + 1), -1)
        row_of[last.window, last.ids + 1] = torch.arange(num_rows, device=row_of.device)
        row_of[:, 0] = -1  # a missing ID
        row = row_of.gather(1, rearrange(past.ids, "b n t -> b (n t)") + 1).view_as(past.ids)
        places = []
        for step in range(1, past.horizon + 1):
            start, after = row[..., :-step], past.ids[..., step:]
            place = ((step - 1) * num_rows + start) * past.num_clusters + after
            places.append(place[(start >= 0) & (after != MISSING_ID)])
        seen = torch.cat(places)
        counts = past.ages.new_zeros(past.horizon * num_rows * past.num_clusters)
        counts.index_add_(0, seen, counts.new_ones(()).expand(len(seen)))
        return rearrange(counts, "(r c) -> r c", c=past.num_clusters)

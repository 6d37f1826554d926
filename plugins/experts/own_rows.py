"""What followed the residue's last ID in its own past: three Markov rows that belong to one residue alone."""

import torch
from einops import rearrange
from torch import Tensor

from emprot_core.batch import MISSING_ID
from emprot_core.contracts import Opinion, Past
from emprot_core.registry import register

_RATE = 0.985  # per frame
_OCCUPANCY_PRIOR, _ROW_PRIOR = 5.0, 2.0  # frames; those of baselines.history_site


@register("expert")
class OwnRows:
    """For each horizon h, three rows that count the frames s <= t - h of the residue with x_s = x_t:

        s(y)   = (k + 2 occ(y)) / (n + 2)       k = sum_s [x_s = x_t] [x_s+h = y],  occ = (count + 5 U) / (frames + 5)
        s'(y)  = (k' + 2 c(y)) / (n' + 2)       each s weighs .985^(t - h - s), and c is the cache of that rate
        s''(y) = (k'' + 2 s(y)) / (n'' + 2)     only the s with x_s-1 = x_t-1 too

    n is the sum of k over all classes. A pair with a missing ID counts nowhere. The gates see log1p(n) / 3 and s(x_t).
    """

    shares = (0.05, 0.12, 0.04)
    num_statistics = 2

    def __call__(self, past: Past) -> Opinion:
        known = (past.ids != MISSING_ID).to(past.ages.dtype)
        decay = _RATE**past.ages
        pairs = self._pairs(past).to(decay.dtype)  # (3, B, N, F, T)
        weights = torch.cat([rearrange(known, "b n t -> b n 1 t"), rearrange(known * decay, "b n t -> b n 1 t")], dim=2)
        pairs = torch.stack([pairs[0], pairs[0] * decay, pairs[1]])
        weights = torch.cat([weights, rearrange(pairs, "p b n f t -> b n (p f) t")], dim=2)
        total = rearrange(weights.sum(-1), "b n i -> b 1 n i")
        counts = rearrange(past.on_slots(weights.transpose(-1, -2)), "b n k i -> b 1 n k i")
        seen, recent = counts[..., 0], counts[..., 1] / total[..., None, 1].clamp_min(torch.finfo(decay.dtype).tiny)
        unigram = rearrange(past.unigram_on_slots, "b n k -> b 1 n k")
        occupancy = (seen + _OCCUPANCY_PRIOR * unigram) / (total[..., None, 0] + _OCCUPANCY_PRIOR)
        by_step = rearrange(counts[..., 2:], "b 1 n k (p f) -> p b f n k", p=3)
        n = rearrange(total[..., 2:], "b 1 n (p f) -> p b f n 1", p=3)
        row = (by_step[0] + _ROW_PRIOR * occupancy) / (n[0] + _ROW_PRIOR)
        decayed = (by_step[1] + _ROW_PRIOR * recent) / (n[1] + _ROW_PRIOR)
        second = (by_step[2] + _ROW_PRIOR * row) / (n[2] + _ROW_PRIOR)
        statistics = torch.stack([n[0, ..., 0].log1p() / 3, past.at_last(row)], dim=-1)
        return Opinion(statistics, on_slots=torch.stack([row, decayed, second], dim=-2))

    def _pairs(self, past: Past) -> Tensor:
        """(2, B, N, F, T) bool: whether frame j ends a pair whose start j - h shows x_t, and j - h - 1 also x_t-1."""
        num_frames = past.ids.shape[-1]
        earlier = torch.nn.functional.pad(past.ids, (past.horizon + 1, 0), value=MISSING_ID)  # frame j is at j + F + 1
        last = earlier[..., -1:]
        before_last = earlier[..., -2:-1]
        found = []
        for step in range(1, past.horizon + 1):
            first = past.horizon + 1 - step
            start, before = earlier[..., first : first + num_frames], earlier[..., first - 1 : first - 1 + num_frames]
            once = (start == last) & (last != MISSING_ID) & (past.ids != MISSING_ID)
            found.append(torch.stack([once, once & (before == before_last) & (before_last != MISSING_ID)]))
        return torch.stack(found, dim=3)

"""What followed the residue's last ID in its own past: three Markov rows that belong to one residue alone."""

import torch
from einops import rearrange
from torch import Tensor
from torch.nn.functional import pad

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
        decay = _RATE**past.ages
        known = (past.ids != MISSING_ID).to(decay.dtype)
        once, twice = self._pairs(past).to(decay.dtype)
        frames = rearrange([known, known * decay], "i b n t -> b n i t")
        pairs = rearrange([once, once * decay, twice], "i b n f t -> b n (i f) t")
        weights = torch.cat([frames, pairs], dim=2)  # one product for all of them
        on_slots = rearrange(past.on_slots(rearrange(weights, "b n i t -> b n t i")), "b n k i -> i b 1 n k")
        total = rearrange(weights.sum(-1), "b n i -> i b 1 n 1")

        unigram = rearrange(past.unigram_on_slots, "b n k -> b 1 n k")
        occupancy = (on_slots[0] + _OCCUPANCY_PRIOR * unigram) / (total[0] + _OCCUPANCY_PRIOR)
        cache = on_slots[1] / total[1].clamp_min(torch.finfo(decay.dtype).tiny)
        k = rearrange(on_slots[2:], "(i f) b 1 n k -> i b f n k", i=3)
        n = rearrange(total[2:], "(i f) b 1 n 1 -> i b f n 1", i=3)
        row = (k[0] + _ROW_PRIOR * occupancy) / (n[0] + _ROW_PRIOR)
        fading = (k[1] + _ROW_PRIOR * cache) / (n[1] + _ROW_PRIOR)
        second = (k[2] + _ROW_PRIOR * row) / (n[2] + _ROW_PRIOR)
        statistics = torch.stack([n[0, ..., 0].log1p() / 3, past.at_last(row)], dim=-1)
        return Opinion(statistics, on_slots=torch.stack([row, fading, second], dim=-2))

    def _pairs(self, past: Past) -> Tensor:
        """(2, B, N, F, T) bool: whether frame j ends a pair whose start j - h shows x_t, and j - h - 1 also x_t-1."""
        lead = past.horizon + 1
        earlier = pad(past.ids, (lead, 0), value=MISSING_ID)  # frame j is at j + lead
        last, before_last = earlier[..., -1:], earlier[..., -2:-1]
        is_known = (last != MISSING_ID) & (past.ids != MISSING_ID)
        found = []
        for step in range(1, past.horizon + 1):
            start, before = earlier[..., lead - step : -step], earlier[..., lead - step - 1 : -step - 1]
            once = (start == last) & is_known
            found.append(torch.stack([once, once & (before == before_last) & (before_last != MISSING_ID)]))
        return torch.stack(found, dim=3)

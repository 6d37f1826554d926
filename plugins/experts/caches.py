"""What the residue showed so far, the recent frames counting more: six caches that forget at different rates."""

import torch
from einops import rearrange
from torch import Tensor

from emprot_core.batch import MISSING_ID
from emprot_core.contracts import Opinion, Past
from emprot_core.registry import register

RATES = (0.5, 0.75, 0.88, 0.95, 0.985, 1.0)
"""How fast each cache forgets, per frame; the last one never does. They are those of baselines.history."""
_ENTROPY_OF = 3  # the cache of rate .95


@register("expert")
class Caches:
    """c_i(y) = sum_s r_i^(t-s) [x_s = y] / sum_s r_i^(t-s), over the frames s up to t that are known; i = 1 to 6.

    The gates see the largest probability of each cache, its probability of x_t, and the entropy of the cache of .95.
    """

    shares = (0.06, 0.18, 0.23, 0.09, 0.06, 0.08)
    num_statistics = 13

    def __call__(self, past: Past) -> Opinion:
        decay = past.ages.new_tensor(RATES) ** past.ages[:, None]  # (T, 6)
        known = (past.ids != MISSING_ID).to(decay.dtype)
        total = rearrange(known @ decay, "b n i -> b n i 1")
        caches = rearrange(past.on_slots(decay), "b n k i -> b n i k") / total.clamp_min(torch.finfo(decay.dtype).tiny)
        caches = rearrange(caches, "b n i k -> b 1 n i k")
        return Opinion(self._statistics(caches, past), on_slots=caches)

    def _statistics(self, caches: Tensor, past: Past) -> Tensor:
        """(B, 1, N, 13) of the caches (B, 1, N, 6, K)."""
        largest = caches.amax(-1)
        at_last = torch.stack([past.at_last(each) for each in caches.unbind(-2)], dim=-1)
        one = caches[..., _ENTROPY_OF, :]
        entropy = torch.special.entr(one).sum(-1, keepdim=True) / 3
        return torch.cat([largest, at_last, entropy], dim=-1)

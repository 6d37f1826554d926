"""What followed an ID in the training, pooled over all residues of all proteins."""

from emprot_core.contracts import Opinion, Past
from emprot_core.registry import register

from .rows import at_last


@register("expert")
class PooledTables:
    """P_h(y | x_t) and P_h+1(y | x_t-1), with P_k(y | a) = (count + U(y)) / (n + 1) of the training transitions.

    A window of training leaves its own part out of the counts. The gates see P_h(x_t | x_t).
    """

    shares = (0.08, 0.06)
    num_statistics = 1

    def __call__(self, past: Past) -> Opinion:
        now, before = past.pooled(0), past.pooled(1)
        return Opinion(at_last(now, past)[..., None], rows=(now, before))

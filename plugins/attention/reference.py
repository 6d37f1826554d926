"""The two kernels of the core as components: the readable formula, and torch's own kernel."""

from emprot_core.kernels.attention import einsum, sdpa
from emprot_core.registry import register

register("attention")(einsum)
register("attention")(sdpa)

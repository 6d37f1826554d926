"""Kernels that read like their formulas: attention, and linear layers that use oneDNN where a CPU gains by it."""

from emprot_core.kernels.attention import einsum, sdpa
from emprot_core.kernels.linear import Linear, linear

__all__ = ["Linear", "einsum", "linear", "sdpa"]

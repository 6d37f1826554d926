"""Kernels that read like their formulas: attention and linear layers, with products by oneDNN where a CPU gains."""

from emprot_core.kernels.attention import einsum, sdpa
from emprot_core.kernels.linear import Linear, linear

__all__ = ["Linear", "einsum", "linear", "sdpa"]

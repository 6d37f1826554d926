"""Kernels that read like their formulas: attention, dropout, and linear layers by oneDNN where a CPU gains by it."""

from emprot_core.kernels.attention import einsum, sdpa
from emprot_core.kernels.dropout import Dropout
from emprot_core.kernels.linear import Linear, linear
from emprot_core.kernels.triton_here import triton_runs

__all__ = ["Dropout", "Linear", "einsum", "linear", "sdpa", "triton_runs"]

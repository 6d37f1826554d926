"""Attention kernels behind one signature (`contracts.Attention`); models call whichever is bound."""

from emprot_core.attention.kernels import einsum, sdpa

__all__ = ["einsum", "sdpa"]

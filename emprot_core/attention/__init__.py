"""Attention kernels behind one signature (`contracts.Attention`); models call whichever is bound."""

from emprot_core.attention.dispatch import auto
from emprot_core.attention.grouped import grouped
from emprot_core.attention.kernels import einsum, sdpa
from emprot_core.attention.packed import packed

__all__ = ["auto", "einsum", "grouped", "packed", "sdpa"]

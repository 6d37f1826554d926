"""Models."""

from .gated_experts import GatedExperts
from .protein_transformer import ProteinTransformerClassificationOnly

__all__ = [
    "GatedExperts",
    "ProteinTransformerClassificationOnly",
]

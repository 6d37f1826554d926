"""Tokenizers: from backbone coordinates to cluster IDs."""

from .dssp import Dssp
from .kmeans_environment import KMeansEnvironment
from .precomputed import Precomputed
from .protein_blocks import ProteinBlocks
from .rama_bins import RamaBins
from .threedi import ThreeDi

__all__ = [
    "Dssp",
    "KMeansEnvironment",
    "Precomputed",
    "ProteinBlocks",
    "RamaBins",
    "ThreeDi",
]

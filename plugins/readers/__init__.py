"""Readers of simulation files and of cluster IDs."""

from .backbone_npz import BackboneNpz
from .ids_npy import IdsNpy
from .lmdb_frames import LmdbFrames
from .md import MDTrajectory
from .mdcath_h5 import MdCath
from .misato_h5 import Misato

__all__ = [
    "BackboneNpz",
    "IdsNpy",
    "LmdbFrames",
    "MDTrajectory",
    "MdCath",
    "Misato",
]

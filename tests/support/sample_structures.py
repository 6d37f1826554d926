"""Coordinates of the embedded sample."""

from emprot_plugins.readers.backbone_npz import BackboneNpz

from emprot_core.contracts import Structure
from emprot_core.data.store import SAMPLE_ROOT


def sample(name: str) -> Structure:
    return BackboneNpz().read(SAMPLE_ROOT / "coordinates" / f"{name}.npz")


def frames_of_the_receptor() -> Structure:
    """Three frames of the 5-HT1B receptor: 302 residues, one chain break after the 212th."""
    structure = sample("prolif_5ht1b")
    return structure._replace(coordinates=structure.coordinates[::100])

"""3Di, the structural alphabet of Foldseek, computed by mini3di (the extra `threedi`)."""

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from emprot_core.batch import MISSING_ID
from emprot_core.contracts import Structure
from emprot_core.registry import register

from .geometry import CA, C, N, ideal_beta_carbons, unbroken_stretches

STATE_LETTERS = "ACDEFGHIKLMNPQRSTVWY"


@register("tokenizer", "threedi")
class ThreeDi:
    """3Di states of one chain as IDs 0 to 19: how a residue lies relative to the residue nearest in space.

    The chain is encoded as a whole, so the nearest residue may lie across a chain break, as in a receptor whose loop is
    missing. The residues on both sides of a break and the ends of the chain have no ID. C-beta is placed by ideal
    geometry, because only the backbone is known. Pass a complex chain by chain, one trajectory each.

    Source: van Kempen et al., Nature Biotechnology 42, 243-246 (2024).
    """

    name = "threedi"
    num_clusters = len(STATE_LETTERS)

    def __init__(self) -> None:
        """
        Raises:
            ModuleNotFoundError: mini3di is not installed.
        """
        try:
            import mini3di
        except ModuleNotFoundError as error:
            raise ModuleNotFoundError("the threedi tokenizer needs mini3di; pip install 'emprot[threedi]'") from error
        self._version = mini3di.__version__
        self._encoder: Any = mini3di.Encoder()  # Any: its annotations omit the masks

    def fit(self, structures: Iterable[Structure]) -> None:
        """Do nothing, because the vocabulary is fixed."""

    def encode(self, structure: Structure) -> np.ndarray:
        """(frames, residues) int16; MISSING_ID also where an atom that the state depends on is unknown."""
        num_frames, num_residues = structure.coordinates.shape[:2]
        ids = np.full((num_frames, num_residues), MISSING_ID, dtype=np.int16)
        if num_residues < 3:
            return ids
        for frame in range(num_frames):
            ids[frame] = self._states(structure.coordinates[frame].astype(np.float64))
        stretches = unbroken_stretches(structure.segments)
        ids[:, [residue for stretch in stretches for residue in (stretch.start, stretch.stop - 1)]] = MISSING_ID
        return ids

    def description(self) -> Mapping[str, Any]:
        """IDs 0 to 19 are the states A to Y in the order of Foldseek's alphabet."""
        return {"name": self.name, "classes": STATE_LETTERS, "mini3di": self._version}

    def arrays(self) -> Mapping[str, np.ndarray]:
        """No arrays: nothing is learnt."""
        return {}

    def _states(self, backbone: np.ndarray) -> np.ndarray:
        """(residues,) IDs of one frame (residues, 4, 3)."""
        features = self._encoder.feature_encoder.encode_atoms(
            ca=backbone[:, CA], cb=ideal_beta_carbons(backbone), n=backbone[:, N], c=backbone[:, C]
        )
        # Rounding of the matrix products depends on the processor; in float64 it cannot change a state.
        states = self._encoder.vae_encoder(np.nan_to_num(features.data.astype(np.float64)))
        return np.where(features.mask[:, 0], MISSING_ID, states.astype(np.int16))

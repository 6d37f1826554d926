"""A tokenizer: backbone coordinates become cluster IDs."""

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from emprot_core import register
from emprot_core.contracts import Structure


@register("tokenizer")
class TemplateTokenizer:
    """Four classes: the distance from CA to the CA two residues on, in Angstrom, cut at 5.5, 6 and 6.5."""

    name = "template_tokenizer"
    num_clusters = 4

    def fit(self, structures: Iterable[Structure]) -> None:
        """Nothing is learnt: the vocabulary is fixed."""

    def encode(self, structure: Structure) -> np.ndarray:
        """(frames, residues) IDs, -1 at the last two residues of every stretch of chain."""
        ca = structure.coordinates[:, :, 1]
        ids = np.full(ca.shape[:2], -1, np.int32)
        distances = np.linalg.norm(ca[:, 2:] - ca[:, :-2], axis=-1)
        is_one_stretch = structure.segments[2:] == structure.segments[:-2]
        ids[:, :-2] = np.where(is_one_stretch, np.digitize(distances, [5.5, 6.0, 6.5]), -1)
        return ids

    def description(self) -> Mapping[str, Any]:
        """What the store keeps, so that the IDs can be made again."""
        return {"name": self.name, "cuts_angstrom": [5.5, 6.0, 6.5]}

    def arrays(self) -> Mapping[str, np.ndarray]:
        """Arrays that were learnt: none."""
        return {}

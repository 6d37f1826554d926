"""NLL and accuracy, separately of residues that keep their class and of those that change it."""

import math

import numpy as np
from torch import Tensor

from emprot_core.batch import Batch
from emprot_core.registry import register

from .tokens import Values, means, over_ranks, tokens_of


@register("score")
class StayedChanged:
    """The NLL in bits of targets equal to the residue's last observed ID, and of those that differ from it.

    Targets of residues without an observed ID are left out. Accuracy on changed targets is in every table already.
    """

    def start(self, num_clusters: int, horizon: int) -> None:
        self._sums = np.zeros((5, horizon))

    def add(self, probabilities: Tensor, batch: Batch) -> None:
        for tokens in tokens_of(probabilities, batch):
            stayed = tokens.targets == tokens.last
            changed = ~stayed & (tokens.last >= 0)
            bits = -tokens.of(tokens.targets).double().log2()
            hits = tokens.probabilities.argmax(dim=-1) == tokens.targets
            self._sums[:, tokens.step] += [
                math.fsum(bits[stayed].tolist()),
                math.fsum(bits[changed].tolist()),
                int(hits[stayed].sum()),
                int(stayed.sum()),
                int(changed.sum()),
            ]

    def result(self) -> dict[str, Values]:
        """nll_bits_stayed, nll_bits_changed: 0 or more, lower is better. accuracy_stayed: 0 to 1."""
        bits_stayed, bits_changed, hits, stayed, changed = over_ranks(self._sums)
        return {
            "nll_bits_stayed": means(bits_stayed, stayed),
            "nll_bits_changed": means(bits_changed, changed),
            "accuracy_stayed": means(hits, stayed),
        }

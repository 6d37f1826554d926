"""Mixtures of parts at one horizon: their probabilities, and their weights by expectation maximisation (EM)."""

from collections.abc import Iterator, Sequence

import numpy as np

from .parts import ClassTable, Part, Unigram
from .positions import Positions

_TABLE_VALUES = 1 << 16  # values of one block of class tables: 512 KB, which stay in a processor's cache
_LEAST_POSITIONS = 8  # of one block: with fewer, a large vocabulary costs more in calls than in arithmetic
_LEAST_WEIGHT = 1e-12  # a weight can shrink at every step, but must not become 0: log p would be -inf


class Mixture:
    """p(y) = sum_i w_i p_i(y) at one horizon."""

    def __init__(self, parts: Sequence[Part], unigram: Unigram):
        """unigram: what the parts fall back on. The weights are equal at first."""
        self._parts = parts
        self._unigram = unigram
        self.num_parts = sum(part.num for part in parts)  # M
        self.weights = np.full(self.num_parts, 1 / self.num_parts)  # (M,)

    def parts_of(self, at: Positions, ids: np.ndarray, left_out: int = 0) -> np.ndarray:
        """(M, P) the probability of one ID (P,) at each position under each part; see Part.of."""
        return np.concatenate([part.of(at, ids, left_out) for part in self._parts])

    def of(self, at: Positions, ids: np.ndarray) -> np.ndarray:
        """(P,) the probability of one ID (P,) at each position."""
        return self.weights @ self.parts_of(at, ids)

    def probabilities(self, at: Positions) -> np.ndarray:
        """(P, C) float64: the probability of every class."""
        result = np.empty((len(at.window), len(self._unigram.order)))
        start = 0
        for table in self._tables(at):
            result[start : start + len(table), self._unigram.order] = table
            start += len(table)
        return result

    def best(self, at: Positions) -> np.ndarray:
        """(P,) the most probable class; on ties, the one that is more common in training."""
        columns = [np.zeros(0, np.int64), *(table.argmax(axis=1) for table in self._tables(at))]
        return self._unigram.order[np.concatenate(columns)]

    def _tables(self, at: Positions) -> Iterator[np.ndarray]:
        """ClassTable.by_commonness, in blocks of positions that take little memory."""
        for block in at.blocks(max(_LEAST_POSITIONS, _TABLE_VALUES // len(self._unigram.order))):
            table = ClassTable(len(block.window), self._unigram)
            weights = np.repeat(self.weights[:, None], len(block.window), axis=1)
            for part in self._parts:
                part.add_to(table, block, weights[: part.num])
                weights = weights[part.num :]
            yield table.by_commonness()


def em_weights(components: np.ndarray, steps: int) -> np.ndarray:
    """The mixture weights (M,) after `steps` steps of EM, which starts from equal weights.

    Args:
        components: (M, P) each component's probability of each observation.
    """
    num, num_observations = components.shape
    weights = np.full(num, 1 / num)
    for _ in range(steps if num_observations else 0):
        # The mean responsibility w_m p_m / sum(w p) over all observations, as two matrix-vector products.
        weights = weights * (components @ (1 / num_observations / (weights @ components)))
    weights = np.maximum(weights, _LEAST_WEIGHT)
    return weights / weights.sum()

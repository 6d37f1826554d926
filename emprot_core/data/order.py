"""The order of an epoch: a keyed bijection from positions to windows, without a permutation in memory.

A Feistel network permutes the pairs (left, right) of an a x a square, a = ceil(sqrt(n)); a result outside [0, n) is
permuted again until it falls inside (cycle walking: Black and Rogaway 2002, "Ciphers with arbitrary finite domains").
The square holds at most 2 sqrt(n) numbers too many, so walks are rare and any position costs O(1).
"""

import math

import numpy as np

_ROUNDS = 6


class EpochOrder:
    """Maps positions of an epoch to items: each of num_items once. Another seed or epoch gives another order."""

    def __init__(self, num_items: int, seed: int, epoch: int):
        """
        Raises:
            ValueError: seed or epoch is negative.
        """
        if seed < 0 or epoch < 0:
            raise ValueError(f"got seed {seed} and epoch {epoch}, expected numbers from 0 on; bind run.seed to one")
        self.num_items = num_items
        self._side = np.uint64(math.isqrt(max(num_items, 1) - 1) + 1)
        self._keys = np.random.SeedSequence([seed, epoch]).generate_state(_ROUNDS, np.uint64)

    def __call__(self, positions: np.ndarray) -> np.ndarray:
        """The items (int64) at positions (int) in [0, num_items)."""
        items = self._permute(np.asarray(positions).astype(np.uint64))
        while len(outside := np.flatnonzero(items >= self.num_items)):
            items[outside] = self._permute(items[outside])
        return items.astype(np.int64)

    def _permute(self, numbers: np.ndarray) -> np.ndarray:
        left, right = np.divmod(numbers, self._side)
        for key in self._keys:
            left, right = right, (left + _scramble(right ^ key) % self._side) % self._side
        return left * self._side + right


def _scramble(numbers: np.ndarray) -> np.ndarray:
    """A 64-bit mix in which every input bit reaches every output bit (the finaliser of SplitMix64)."""
    numbers = (numbers ^ (numbers >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    numbers = (numbers ^ (numbers >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return numbers ^ (numbers >> np.uint64(31))

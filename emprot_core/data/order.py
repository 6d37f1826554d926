"""The order of an epoch: a keyed bijection from positions to windows, without a permutation in memory.

A Feistel network permutes the pairs (left, right) of an a x a square, a = ceil(sqrt(n)); a result outside [0, n) is
permuted again until it falls inside (cycle walking: Black and Rogaway 2002, "Ciphers with arbitrary finite domains").
The square holds at most 2 sqrt(n) numbers too many, so walks are rare and any position costs O(1).
"""

import math

import numpy as np

from emprot_core.errors import EmprotError

_ROUNDS = 6


class EpochOrder:
    """Maps the positions of an epoch to items, each item once. Another seed or epoch gives another order."""

    def __init__(self, num_items: int, seed: int, epoch: int):
        """
        Raises:
            EmprotError: seed or epoch is negative.
        """
        if seed < 0 or epoch < 0:
            raise EmprotError(f"got seed {seed} and epoch {epoch}, expected numbers from 0 on; bind run.seed to one")
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


class WeightedOrder:
    """An epoch in which an item of weight w comes w times on average over epochs, as evenly as possible in each.

    Items come in runs of equal weight. They lie on a line, each as long as its weight, and are drawn at equal steps
    along it from a start that (seed, epoch) fixes (systematic sampling: Madow and Madow, Ann. Math. Statist. 15, 1
    (1944)). EpochOrder then shuffles the draws. So every other one of neighbours with weight 1/2 is drawn, and
    whole-number weights are exact. An epoch has round(sum of the weights of all items) draws.
    """

    def __init__(self, counts: np.ndarray, weights: np.ndarray, seed: int, epoch: int):
        """
        Args:
            counts: (runs,) items of each run.
            weights: (runs,) weight of each item of a run: 0 or more, and above 0 for at least one item.
        """
        self._weights = weights
        self._last = np.cumsum(counts) - 1
        self._first = self._last + 1 - counts
        self._line_ends = np.cumsum(counts * weights)
        self.num_items = draws_of_epoch(counts, weights)
        self._order = EpochOrder(self.num_items, seed, epoch)
        self._start = np.random.default_rng([seed, epoch]).random()

    def __call__(self, positions: np.ndarray) -> np.ndarray:
        """The items (int64) at positions (int) in [0, num_items)."""
        length = self._line_ends[-1]
        places = (self._order(positions) + self._start) * (length / self.num_items)
        places = np.minimum(places, np.nextafter(length, 0))  # rounding may put the last draw at the very end
        run = np.searchsorted(self._line_ends, places, side="right")
        begins = np.where(run > 0, self._line_ends[run - 1], 0.0)
        within = ((places - begins) / self._weights[run]).astype(np.int64)
        return np.minimum(self._first[run] + within, self._last[run])


def draws_of_epoch(counts: np.ndarray, weights: np.ndarray) -> int:
    """The number of draws of a WeightedOrder: the sum of the weights of all items, rounded."""
    return round(float((counts * weights).sum()))


def one_of_each(num_items: int, num_drawn: int, seed: int) -> np.ndarray:
    """(num_drawn,) ascending numbers of items: [0, num_items) in parts of equal size, and one drawn from each part.

    So items that lie in the order of trajectory and time are covered evenly. All, if there are no more than num_drawn.
    """
    if num_items <= num_drawn:
        return np.arange(num_items)
    ends = np.arange(num_drawn + 1) * num_items // num_drawn
    return np.random.default_rng((seed, num_items)).integers(ends[:-1], ends[1:])


def _scramble(numbers: np.ndarray) -> np.ndarray:
    """A 64-bit mix in which every input bit reaches every output bit (the finaliser of SplitMix64)."""
    numbers = (numbers ^ (numbers >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    numbers = (numbers ^ (numbers >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return numbers ^ (numbers >> np.uint64(31))

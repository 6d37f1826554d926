"""What mixtures are made of: parts that give the probability of an ID or of every class, and the two simplest ones."""

from typing import Protocol

import numpy as np

from .positions import Positions

_UNIGRAM_PRIOR = 0.5


class ClassTable:
    """The probability of every class at P positions, added up piece by piece.

    The pieces are counts of single classes and shares of two distributions that all positions have in common: the
    unigram and the uniform one. So a part with few counts costs little, however many classes there are.
    """

    def __init__(self, num_positions: int, unigram: "Unigram"):
        self.unigram = np.zeros(num_positions)  # (P,) the share of the unigram
        self.uniform = np.zeros(num_positions)  # (P,) the share of the uniform distribution
        self._column = unigram.column
        self._shared = unigram.beside_uniform
        self._places: list[np.ndarray] = []
        self._values: list[np.ndarray] = []

    def add(self, position: np.ndarray, ids: np.ndarray, values: np.ndarray) -> None:
        """Add a value at each position and ID; all broadcast. MISSING_ID counts nowhere, a place may come twice."""
        places, values = np.broadcast_arrays(position * len(self._column) + self._column[ids], values)
        self._places.append(places.ravel())
        self._values.append(values.ravel())

    def by_commonness(self) -> np.ndarray:
        """(P, C) float64, the classes in the order of the unigram, so that of equal ones the commonest comes first."""
        places, values = np.concatenate(self._places), np.concatenate(self._values)
        width = len(self._column)
        single = np.bincount(places, values, minlength=len(self.unigram) * width).reshape(-1, width)[:, :-1]
        return single + np.stack([self.unigram, self.uniform], axis=1) @ self._shared


class Part(Protocol):
    """One or several (M) distributions of a residue's next ID, as parts of a mixture."""

    num: int  # M

    def of(self, at: Positions, ids: np.ndarray, left_out: int = 0) -> np.ndarray:
        """(M, P) the probability of one ID (P,) at each position.

        Args:
            left_out: how often the ID itself is in the counts of training, to be taken out of them.
        """

    def add_to(self, table: ClassTable, at: Positions, weights: np.ndarray) -> None:
        """Add the probability of every class times the weights (M, P)."""


class Unigram:
    """How common each cluster is among the targets: (count + .5), normalised."""

    num = 1

    def __init__(self, ids: np.ndarray, counts: np.ndarray, num_clusters: int):
        """ids, counts: (E,) how often each ID was a target; counts of the same ID are added up."""
        seen = np.bincount(ids, counts, minlength=num_clusters) + _UNIGRAM_PRIOR
        self.probabilities = seen / seen.sum()  # (C,)
        self.order = np.argsort(-self.probabilities, kind="stable")  # (C,) the IDs, the commonest first
        shared = [self.probabilities[self.order], np.full(num_clusters, 1 / num_clusters)]
        self.beside_uniform = np.stack(shared)  # (2, C) the unigram and the uniform distribution, in that order
        # (C + 1,) the place of each ID in that order; MISSING_ID, which is the index -1, has a further place.
        self.column = np.append(np.argsort(self.order), num_clusters)

    def of(self, at: Positions, ids: np.ndarray, left_out: int = 0) -> np.ndarray:
        return self.probabilities[None, ids]

    def add_to(self, table: ClassTable, at: Positions, weights: np.ndarray) -> None:
        table.unigram += weights[0]


class Uniform:
    """Every class alike; the unigram where the last ID is missing."""

    num = 1

    def __init__(self, unigram: Unigram):
        self._unigram = unigram.probabilities

    def of(self, at: Positions, ids: np.ndarray, left_out: int = 0) -> np.ndarray:
        return np.where(at.last >= 0, 1 / len(self._unigram), self._unigram[ids])[None]

    def add_to(self, table: ClassTable, at: Positions, weights: np.ndarray) -> None:
        table.uniform += np.where(at.last >= 0, weights[0], 0.0)
        table.unigram += np.where(at.last >= 0, 0.0, weights[0])

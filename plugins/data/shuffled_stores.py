"""Stores whose frames are in random order: a control, in which there is nothing to learn about the dynamics."""

import hashlib
from typing import Any

import numpy as np

from emprot_core.data.joined_stores import JoinedStores
from emprot_core.data.store import TrajectoryStore
from emprot_core.errors import EmprotError


class ShuffledStores(JoinedStores):
    """The trajectories of a store, each with its frames in an order that the seed and its row fix.

    `ids` copies a trajectory into memory. Messages about a damaged ID name the frame in the store on disk.
    """

    def __init__(self, store: TrajectoryStore | JoinedStores, seed: int):
        if seed < 0:
            raise EmprotError(f"shuffle_frames is {seed}, expected a seed of 0 or more, or None")
        super().__init__(store.stores if isinstance(store, JoinedStores) else (store,))
        self.index = store.index
        self.digest = hashlib.sha256(f"{store.digest} shuffled {seed}".encode()).hexdigest()
        self._store, self._seed = store, seed

    def __reduce__(self) -> tuple[type, tuple[Any, ...]]:
        return type(self), (self._store, self._seed)

    def ids(self, trajectory: int) -> np.ndarray:
        """(frames, N) as TrajectoryStore.ids, with the frames in random order."""
        frames = super().ids(trajectory)
        return frames[np.random.default_rng((self._seed, trajectory)).permutation(len(frames))]

"""Stores whose frames are in random order: a control, in which there is nothing to learn about the dynamics."""

import hashlib
from functools import lru_cache
from typing import Any

import numpy as np

from emprot_core.data.joined_stores import JoinedStores, open_stores
from emprot_core.data.store import TrajectoryStore
from emprot_core.errors import EmprotError

_KEPT = 4096  # trajectories


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
        self._kept = lru_cache(_KEPT)(self.ids)

    def __reduce__(self) -> tuple[type, tuple[Any, ...]]:
        return type(self), (self._store, self._seed)

    def frames(self, trajectory: int, start: int, stop: int) -> np.ndarray:
        """As TrajectoryStore.frames, of the trajectory in random order, which is kept in memory."""
        return self._kept(trajectory)[start:stop]

    def ids(self, trajectory: int) -> np.ndarray:
        """(frames, N) as TrajectoryStore.ids, with the frames in random order."""
        frames = super().ids(trajectory)
        return frames[np.random.default_rng((self._seed, trajectory)).permutation(len(frames))]


def open_in_order(stores: list[str], verify: bool, shuffle_frames: int | None) -> TrajectoryStore | JoinedStores:
    """data.joined_stores.open_stores, with the frames in the order of a seed, or in that of time if it is None."""
    opened = open_stores(stores, verify=verify)
    return opened if shuffle_frames is None else ShuffledStores(opened, shuffle_frames)

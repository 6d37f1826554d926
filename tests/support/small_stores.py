"""Small stores: one of letters, and two of another vocabulary with TrajectoryWindows over them."""

import numpy as np
from emprot_plugins.data.trajectory_windows import TrajectoryWindows
from emprot_plugins.splits.by_time import ByTime

from emprot_core.contracts import Vocabulary
from emprot_core.data.store import StoreWriter

CLUSTERS = 6
FIRST_LETTERS = np.array([[0, 1, -1], [2, 3, 4]])
SECOND_LETTERS = np.array([[4], [4], [-1]])
SHAPES = {"apo_R1": (60, 4), "apo_R2": (50, 4), "holo_R1": (40, 7)}


def write_lettered_store(directory):
    """Two trajectories with 5 classes, and an array."""
    vocabulary = Vocabulary("letters", 5, {"name": "letters", "classes": "abcde"})
    with StoreWriter(directory, vocabulary, [{"package": "p", "licence": "MIT"}]) as writer:
        writer.add("first", "P1", FIRST_LETTERS, time_step_ns=0.2)
        writer.add("second", "P2", SECOND_LETTERS)
        writer.add_array("centroids", np.eye(5))
    return directory


def write_first_store(directory):
    rng = np.random.default_rng(0)
    with StoreWriter(directory, Vocabulary("test", CLUSTERS, {"name": "precomputed"})) as writer:
        for name, shape in SHAPES.items():
            writer.add(name, name.split("_")[0], rng.integers(-1, CLUSTERS, shape))
    return str(directory)


def write_second_store(directory):
    """Another store of the vocabulary, with one name and one group of the first store."""
    return write_store(directory, apo_R1=(30, 4), membrane_protein_R1=(45, 5))


def write_store(directory, tokenizer="precomputed", clusters=CLUSTERS, **shapes):
    rng = np.random.default_rng(sum(map(ord, str(directory.name))))
    with StoreWriter(directory, Vocabulary("test", clusters, {"name": tokenizer})) as writer:
        for name, shape in shapes.items():
            writer.add(name, name.split("_")[0], rng.integers(-1, clusters, shape), time_step_ns=0.5)
    return str(directory)


def make_data(store, **options):
    return TrajectoryWindows(store, **{"history": 5, "horizon": 3, "split": ByTime(0.7, 0.1, 0.2), **options})

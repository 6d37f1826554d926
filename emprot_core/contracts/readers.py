"""What turns files of simulations into cluster IDs: readers and tokenizers."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Protocol, runtime_checkable

import numpy as np


class Structure(NamedTuple):
    """Backbone of one trajectory, or of a chunk of its frames. Segments are runs of residues without a chain break.

    A reader of cluster IDs gives no coordinates, an array of shape (frames, residues, 0, 3).
    """

    coordinates: np.ndarray  # (frames, residues, 4, 3) float32, Angstrom, atoms N CA C O; NaN where unknown
    segments: np.ndarray  # (residues,) int, the same number within an unbroken stretch of chain
    residues: np.ndarray | None = None  # (residues,) structured: number int32, name str; None where unknown
    group: str = ""  # the protein (UniProt accession or the like), "" where unknown
    time_step_ns: float = float("nan")  # between frames, NaN where unknown
    source: Mapping[str, str] | None = None  # where it comes from: package, version, licence, ...
    cluster_ids: np.ndarray | None = None  # (frames, residues) int, MISSING_ID where unknown; None: not encoded yet
    notes: tuple[str, ...] = ()  # what the user should know of the trajectory; Prepare reports them


class Tokenizer(Protocol):
    """Turns backbone coordinates into cluster IDs. Prepare hands it to worker processes: it must pickle."""

    name: str
    num_clusters: int

    def fit(self, structures: Iterable[Structure]) -> None:
        """Learn from training frames, chunk by chunk; does nothing for a vocabulary that is fixed."""

    def encode(self, structure: Structure) -> np.ndarray:
        """(frames, residues) int, MISSING_ID at termini, at chain breaks and where coordinates are unknown."""

    def description(self) -> Mapping[str, Any]:
        """What the vocabulary in store.json says of it: JSON values, enough to encode again."""

    def arrays(self) -> Mapping[str, np.ndarray]:
        """What was learnt, kept in the store as <name>.npy; empty for a vocabulary that is fixed."""


class Reader(Protocol):
    """Reads the backbone, or the cluster IDs, of one trajectory. Prepare hands it to workers: it must pickle."""

    def read(self, path: Path) -> Structure | Iterable[Structure]:
        """All frames at once, or chunks of frames in the order of time, so that memory does not grow with them.

        Every chunk has the same residues. A ValueError says what is wrong with the file.
        """


@runtime_checkable
class ArchiveReader(Protocol):
    """A reader of files that hold many trajectories each: it reads `path / member`."""

    def members(self, path: Path) -> Sequence[str]:
        """Names of the trajectories in a file, such as 320/0."""


@runtime_checkable
class UsesOtherFiles(Protocol):
    """A reader that needs more than the trajectory file: topologies, tables. Prepare sees whether they change."""

    def other_files(self, path: Path) -> Sequence[Path]: ...

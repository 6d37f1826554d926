"""Readers and tokenizers: what turns simulation files into cluster IDs."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Protocol, runtime_checkable

import numpy as np

RESIDUE_DTYPE = np.dtype(
    [("number", np.int32), ("insertion_code", "U1"), ("name", "U4"), ("chain", "U4"), ("segment", "U8")]
)
"""A row of a residue table, named as PDB files do; a text is empty where it is unknown."""


class Structure(NamedTuple):
    """The backbone of one trajectory, or of a chunk of its frames.

    A reader of cluster IDs has no coordinates: it gives an array of shape (frames, residues, 0, 3).
    """

    coordinates: np.ndarray  # (frames, residues, 4, 3) float32, Angstrom, atoms N CA C O; NaN where unknown
    segments: np.ndarray  # (residues,) int, one number for each stretch of chain without a break
    residues: np.ndarray | None = None  # (residues,) of RESIDUE_DTYPE; None where unknown
    group: str = ""  # the protein (UniProt accession or the like), "" where unknown
    time_step_ns: float = float("nan")  # time between frames, NaN if unknown
    source: Mapping[str, str] | None = None  # where the trajectory comes from: package, version, licence, ...
    cluster_ids: np.ndarray | None = None  # (frames, residues) int, MISSING_ID where unknown; None if not encoded
    notes: tuple[str, ...] = ()  # what the user should know about the trajectory; Prepare reports them


class Tokenizer(Protocol):
    """Turns backbone coordinates into cluster IDs. It must be picklable: Prepare sends it to worker processes."""

    name: str
    num_clusters: int

    def fit(self, structures: Iterable[Structure]) -> None:
        """Learn the classes from training frames, chunk by chunk. Does nothing if the vocabulary is fixed."""

    def encode(self, structure: Structure) -> np.ndarray:
        """(frames, residues) int, MISSING_ID at termini, at chain breaks and where coordinates are unknown."""

    def description(self) -> Mapping[str, Any]:
        """What store.json records about the tokenizer: JSON values that suffice to encode again."""

    def arrays(self) -> Mapping[str, np.ndarray]:
        """The arrays that were learnt; the store keeps them as <name>.npy. Empty if the vocabulary is fixed."""


class Reader(Protocol):
    """Reads the backbone or the cluster IDs of one trajectory. It must be picklable: Prepare sends it to workers."""

    def read(self, path: Path) -> Structure | Iterable[Structure]:
        """All frames at once, or chunks of frames in the order of time, which save memory on long trajectories.

        Every chunk has the same residues. Raises ValueError, which says what is wrong with the file.
        """


@runtime_checkable
class ArchiveReader(Protocol):
    """A reader of files that hold many trajectories each: it reads `path / member`."""

    def members(self, path: Path) -> Sequence[str]:
        """Names of the trajectories in a file, such as 320/0."""


@runtime_checkable
class UsesOtherFiles(Protocol):
    """A reader that needs other files too, such as topologies or tables. Prepare notices when they change."""

    def other_files(self, path: Path) -> Sequence[Path]: ...

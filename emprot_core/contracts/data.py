"""Where the batches of a run come from: the data, its vocabulary, its loaders and its split."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any, Literal, NamedTuple, Protocol, runtime_checkable

import numpy as np
from torch import Tensor

from emprot_core.batch import Batch

Split = Literal["train", "validation", "test"]


@dataclass(frozen=True)
class Vocabulary:
    """The classes of a store. `tokenizer` holds the registered name, parameters and files that made the IDs."""

    name: str
    num_clusters: int
    tokenizer: Mapping[str, Any]


class TrajectoryFrames(NamedTuple):
    """A trajectory of a split, its protein, and how many of its frames can be targets there."""

    trajectory: str
    group: str
    num_frames: int


@runtime_checkable
class StepLoader(Protocol):
    """Training batches that can start at any optimizer step of any epoch.

    Iterating over the loader itself gives each window of this rank once, in the order of the data.
    """

    def num_steps(self, grad_accum_steps: int) -> int:
        """Optimizer steps of one epoch."""

    def steps(self, epoch: int, first_step: int | Fraction, grad_accum_steps: int) -> Iterator[list[Batch]]:
        """For each optimizer step from `first_step` on, the micro-batches of this rank.

        `first_step` is a fraction if the number of ranks changed within the epoch: earlier steps had another size.
        """

    def __iter__(self) -> Iterator[Batch]: ...


class Data(Protocol):
    """Gives the batches of a run and identifies the data they come from."""

    vocabulary: Vocabulary
    digest: str  # changes when the data change

    def loader(self, split: Split, seed: int = 0) -> StepLoader: ...

    def num_windows(self, split: Split) -> int: ...

    def all_windows(self, split: Split) -> StepLoader:
        """Every window of a split once, the same on every rank. Baselines are fitted on these."""

    def split_contents(self, split: Split) -> list[TrajectoryFrames]:
        """The trajectories that have targets in a split."""

    def places(self, split: Split, window_ids: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(B,) the trajectory of windows (B,), by its place in split_contents, and (B,) their last input frame."""

    def class_counts(self) -> Tensor:
        """(C,) long: how often each class occurs in the target frames of the training split."""


@runtime_checkable
class UsesClassCounts(Protocol):
    """A model or loss that needs the class counts of the training split before training."""

    def use_class_counts(self, counts: Tensor) -> None:
        """Called before training; counts: (C,) long."""


class Transitions(NamedTuple):
    """How often one ID follows another in the training frames: E entries, each combination once.

    The pair (x[s], x[s + lag]) of a residue counts if both IDs are known and frame s + lag may be a target of training.
    It belongs to one part of the training data; the parts have the numbers that `left_out` in a batch has.
    """

    part: Tensor  # (E,) long
    lag: Tensor  # (E,) long, in frames, from 1 on
    before: Tensor  # (E,) long, the earlier ID
    after: Tensor  # (E,) long, the later ID
    counts: Tensor  # (E,) long


@runtime_checkable
class CountsTransitions(Protocol):
    """Data that can count the transitions of its training frames."""

    def transitions(self, max_lag: int) -> Transitions:
        """The transitions with lags of 1 to max_lag frames."""


class StorePlace(NamedTuple):
    """Where a store that data are read from lies."""

    given: str  # as the config names it
    directory: Path
    digest: str
    vocabulary_digest: str  # equal in stores of the same classes


@runtime_checkable
class ReadsStores(Protocol):
    """Data read from trajectory stores.

    The constructor takes the path of a store, or a list of paths, as `store`, names or patterns or None as
    `trajectories`, a DataSplit as `split`, and None as `weights`. So a run can be judged on other stores than its own.
    """

    def places_of_stores(self) -> list[StorePlace]: ...


@runtime_checkable
class HasVocabularyArrays(Protocol):
    """Data whose vocabulary came with arrays, such as the centroids of k-means."""

    def vocabulary_array(self, name: str) -> np.ndarray | None:
        """The array of that name, whose first axis is C as a rule, or None."""


class SampledWindows(NamedTuple):
    """How many windows of a split are used, and how many it has."""

    windows: int
    of: int


@runtime_checkable
class SamplesWindows(Protocol):
    """Data that use a sample of the windows of a large split."""

    def sampled(self) -> Mapping[str, SampledWindows]:
        """By split, for those of which all_windows gives a part. Training itself takes every window."""


class DataSplit(Protocol):
    """Divides a store's frames into train, validation and test."""

    def spans(self, index: np.ndarray) -> dict[Split, np.ndarray]:
        """For each split a structured array (trajectory, start, stop): frames start to stop - 1 may be *targets*.

        `index` is the store's index, or part of it; `trajectory` is a row number in it.
        """

"""What gives the batches of a run: the data, its vocabulary, its loaders and its split."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, Literal, Protocol, runtime_checkable

import numpy as np
from torch import Tensor

from emprot_core.batch import Batch

Split = Literal["train", "validation", "test"]


@dataclass(frozen=True)
class Vocabulary:
    """The classes of a store. `tokenizer` says how IDs were made: its registered name, parameters and files."""

    name: str
    num_clusters: int
    tokenizer: Mapping[str, Any]


@runtime_checkable
class StepLoader(Protocol):
    """Training batches that can start at any optimizer step of any epoch.

    Iterating over the loader itself gives each window of this rank once, in the order of the data.
    """

    def num_steps(self, grad_accum_steps: int) -> int:
        """Optimizer steps of one epoch."""

    def steps(self, epoch: int, first_step: int | Fraction, grad_accum_steps: int) -> Iterator[list[Batch]]:
        """The micro-batches of each optimizer step of this rank, from `first_step` on.

        It is a fraction where the steps before were of another size: the number of ranks changed within the epoch.
        """

    def __iter__(self) -> Iterator[Batch]: ...


class Data(Protocol):
    """Gives the batches of a run and says which data they are."""

    vocabulary: Vocabulary
    digest: str  # changes when the data change

    def loader(self, split: Split, seed: int = 0) -> StepLoader: ...

    def num_windows(self, split: Split) -> int: ...

    def all_windows(self, split: Split) -> Iterable[Batch]:
        """Every window of a split once, on every rank the same: what a baseline is fitted on."""

    def class_counts(self) -> Tensor:
        """(C,) long: how often each class is seen in the target frames of the training split."""


@runtime_checkable
class UsesClassCounts(Protocol):
    """A model or loss that wants the class counts of the training split before training."""

    def use_class_counts(self, counts: Tensor) -> None:
        """counts: (C,) long."""


class DataSplit(Protocol):
    """Divides a store's frames into train, validation and test."""

    def spans(self, index: np.ndarray) -> dict[Split, np.ndarray]:
        """Per split a structured array (trajectory, start, stop): the frames that may be *targets*.

        `index` is the store's index, or part of it; `trajectory` numbers its rows.
        """

"""What a component must have: one Protocol per kind.

A plugin need not inherit from these; it is enough that it has the methods. Shapes use the legend of `batch`.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any, Literal, NamedTuple, Protocol, runtime_checkable

import numpy as np
import torch
from torch import Tensor, nn

from emprot_core.batch import Batch

Split = Literal["train", "validation", "test"]
Outputs = dict[str, Tensor]


@dataclass(frozen=True)
class Vocabulary:
    """The classes of a store. `tokenizer` says how IDs were made: its registered name, parameters and files."""

    name: str
    num_clusters: int
    tokenizer: Mapping[str, Any]


class TokenScores(NamedTuple):
    """What most metrics need of a batch. Values outside `mask` mean nothing, except that nll is 0 there."""

    mask: Tensor  # (B, F, N) bool, the target mask M
    nll: Tensor  # (B, F, N) float32, plain cross-entropy in nats, detached
    predicted: Tensor  # (B, F, N) long, the most probable class


class LossTerms(NamedTuple):
    """A loss as a sum and its weight, so that micro-batches and ranks add up exactly."""

    sum: Tensor  # () float32, nats
    weight: Tensor  # () float32, the sum of the weights applied
    scores: TokenScores


@runtime_checkable
class Model(Protocol):
    """Maps a history to class scores for every residue in each future step."""

    num_clusters: int
    future_horizon: int

    def forward(
        self,
        input_cluster_ids: Tensor,  # (B, T, N) long
        times: Tensor | None,  # (B, T) float
        sequence_lengths: Tensor,  # (B,) long
        history_mask: Tensor,  # (B, T, N) bool
        state: Tensor | None = None,  # (B, N, D)
    ) -> Outputs:
        """cluster_logits (B, F, N, C), context (B, N, D) and, where state was given, new_state (B, N, D)."""


@runtime_checkable
class FactoredModel(Model, Protocol):
    """A model whose logits are a linear map of features, so that a loss need not materialise them."""

    def features(
        self,
        input_cluster_ids: Tensor,
        times: Tensor | None,
        sequence_lengths: Tensor,
        history_mask: Tensor,
        state: Tensor | None = None,
    ) -> Outputs:
        """features (B, F, N, D), context (B, N, D) and, where state was given, new_state (B, N, D)."""

    def classifier(self) -> tuple[Tensor, Tensor | None]:
        """Weight (C, D) and bias (C,), (F, C) or None."""


class Mixing(Protocol):
    """One pattern of attention over the frames and residues of a history. Built by the model with its width."""

    def build(self, d_embed: int, num_heads: int, num_layers: int, dropout: float, attention: "Attention") -> nn.Module:
        """A module: (B, T, N, D), mask (B, T, N) bool, state (B, N, D) or None -> context (B, N, D)."""


class Attention(Protocol):
    """softmax(q k^T / sqrt(head size)) v over the allowed keys; a row without any gives zeros.

    A key is allowed where `mask` is True; `bias` is added to the scores before the softmax.
    """

    def __call__(
        self,
        q: Tensor,  # (batch, heads, queries, head size)
        k: Tensor,  # (batch, heads, keys, head size)
        v: Tensor,  # (batch, heads, keys, head size)
        mask: Tensor | None = None,  # bool, broadcasts to (batch, heads, queries, keys)
        bias: Tensor | None = None,  # float, broadcasts to (batch, heads, queries, keys)
    ) -> Tensor: ...


class Loss(Protocol):
    """`inputs` says what it reads of the model: "logits" (outputs["cluster_logits"]) or
    "features" (outputs["features"], outputs["weight"], outputs["bias"])."""

    inputs: Literal["logits", "features"]

    def __call__(self, outputs: Outputs, batch: Batch) -> LossTerms: ...


class Metric(Protocol):
    """`name` is the tag under train/ and val/. Sum and weight are scalars, or (F,) for one number per horizon.

    A metric with `every_step` False is computed in validation only.
    """

    name: str
    every_step: bool

    def __call__(self, outputs: Outputs, batch: Batch, scores: TokenScores) -> tuple[Tensor, Tensor]: ...


@runtime_checkable
class Flattens(Protocol):
    """An optimizer whose update of a number depends on no other one."""

    def flatten(self) -> None:
        """Called once, before the first step: step flat tensors, of which the parameters and gradients are views."""


Optimizer = Callable[[list[tuple[str, nn.Parameter]]], torch.optim.Optimizer]
Scheduler = Callable[[torch.optim.Optimizer, int], torch.optim.lr_scheduler.LRScheduler]


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


class Prediction(NamedTuple):
    """A baseline's forecast of a batch."""

    predicted: np.ndarray  # (B, F, N) int, the most probable class
    nll_nats: np.ndarray | None  # (B, F, N) float of the target, None where the baseline gives no distribution


class Baseline(Protocol):
    """A forecast that needs no training by gradient. Fitted on training windows alone, unless it says otherwise."""

    name: str

    def fit(self, train: Iterable[Batch], validation: Iterable[Batch], num_clusters: int) -> None: ...

    def predict(self, batch: Batch) -> Prediction:
        """Values at positions outside the target mask mean nothing."""


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


class Job(Protocol):
    """What a gin file can ask for (`run.job`)."""

    def run(self, context: Any) -> int | None:
        """Do it, told of the run by a jobs.context.RunContext; gives the exit status, None for 0."""

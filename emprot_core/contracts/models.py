"""What a model is made of: the model, its mixing of frames and residues, its attention kernel."""

from collections.abc import Iterable
from pathlib import Path
from typing import Protocol, runtime_checkable

import numpy as np
from torch import Tensor, nn

from emprot_core.batch import Batch
from emprot_core.contracts.data import Transitions

Outputs = dict[str, Tensor]
"""Outputs of a model by name: cluster_logits (B, F, N, C), context (B, N, D) and others that its contract names."""


@runtime_checkable
class Model(Protocol):
    """Maps a history to class scores for every residue in each future step.

    The attribute same_protein (bool) may be left out, and is False then. A model that sets it knows single residues by
    their index; it is refused where validation or test have a protein that training lacks.
    """

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
        """Gives cluster_logits (B, F, N, C), context (B, N, D) and, if state is given, new_state (B, N, D)."""


@runtime_checkable
class FactoredModel(Model, Protocol):
    """A model whose logits are a linear map of features, so that a loss need not hold all logits in memory."""

    def features(
        self,
        input_cluster_ids: Tensor,
        times: Tensor | None,
        sequence_lengths: Tensor,
        history_mask: Tensor,
        state: Tensor | None = None,
    ) -> Outputs:
        """Gives features (B, F, N, D), context (B, N, D) and, if state is given, new_state (B, N, D)."""

    def classifier(self) -> tuple[Tensor, Tensor | None]:
        """The weight (C, D), and the bias: (C,), (F, C) or None."""


@runtime_checkable
class UsesClusterLookup(Protocol):
    """A model whose cluster embedding can start from the centroids of the clusters."""

    def use_cluster_lookup(self, lookup: str | Path | np.ndarray | Tensor) -> None:
        """Called before training. lookup: the centroids (C, E), or the path of an .npy file that holds them."""


@runtime_checkable
class UsesTransitions(Protocol):
    """A model with tables of the training transitions.

    Its forward takes one more argument, left_out (B,) long or None: which part of the transitions each window leaves
    out, so that a training window does not find its own targets in the tables. -1, or None for the batch: none.
    """

    max_lag: int  # it needs the transitions with lags of 1 to max_lag frames

    def use_transitions(self, transitions: Transitions, windows: Iterable[Batch]) -> None:
        """Called once, before a new training; what is made of it is kept in the state of the model.

        Args:
            windows: training batches in random order, the same on every rank, to set the scale of inputs.
        """


class Attention(Protocol):
    """softmax(q k^T / sqrt(head size)) v over the allowed keys; a query without any gives zeros.

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


class Mixing(Protocol):
    """One pattern of attention over the frames and residues of a history. The model builds it with its own sizes."""

    def build(self, d_embed: int, num_heads: int, num_layers: int, dropout: float, attention: Attention) -> nn.Module:
        """A module that maps (B, T, N, D), mask (B, T, N) bool and state (B, N, D) or None to context (B, N, D)."""

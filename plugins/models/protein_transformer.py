"""The forecaster: a transformer over cluster IDs with one linear readout per future step."""

from pathlib import Path
from typing import Literal

import numpy as np
import torch
from einops import einsum
from torch import Tensor, nn

from emprot_core import registry
from emprot_core.batch import MISSING_ID
from emprot_core.breach import broken, check_method
from emprot_core.contracts import Attention, Mixing, Outputs
from emprot_core.errors import EmprotError
from emprot_core.kernels import Dropout, linear, sdpa
from emprot_core.registry import register

from .cluster_table import ClusterTable


@register("model")
class ProteinTransformerClassificationOnly(nn.Module):
    """Predicts logits over all C clusters for every residue in each of the next F frames.

    A token is the sum of embeddings of its cluster ID, of its frame (counted back from the last one) and, if all data
    are of one protein, of its residue index. The mixing turns the tokens of a history into a context (B, N, D). One
    D x D matrix per future step turns the context into features, whose products with the cluster table are the logits.
    """

    def __init__(
        self,
        d_embed: int,
        num_heads: int,
        num_layers: int,
        future_horizon: int,
        num_clusters: int,
        dropout: float = 0.1,
        mixing: Mixing | None = None,
        attention: Attention = sdpa,
        max_history: int = 128,
        residue_embedding: int = 0,
        residue_embedding_std: float = 0.02,
        residue_dropout: float = 0.0,
        time_embedding_std: float = 0.02,
        tie_embeddings: bool = True,
        output_bias_init: Literal["zeros", "unigram"] = "zeros",
        cluster_lookup: str | Path | np.ndarray | Tensor | None = None,
    ):
        """
        Args:
            d_embed: D, numbers that describe a token.
            num_heads: attention heads of each layer; they share the D numbers.
            num_layers: layers of the mixing.
            future_horizon: F, frames to predict.
            num_clusters: C, classes of a residue.
            dropout: probability of dropping a number, in training, after the embeddings and inside the layers.
            mixing: how frames and residues see each other; mixings.Temporal by default.
            attention: the kernel that computes attention.
            max_history: number of frame embeddings, so the longest history; 0 for no embeddings and any length.
            residue_embedding: how many residues get an embedding of their index, 0 for none. An index has a meaning
                within one protein only.
            residue_embedding_std, time_embedding_std: standard deviations that the embeddings of residues and of frames
                start with.
            residue_dropout: probability of leaving out an index embedding, drawn for each window and residue.
            tie_embeddings: compute the logits with the table of cluster embeddings; otherwise with a separate table.
            output_bias_init: "zeros", or "unigram" for the log class frequencies of the training split.
            cluster_lookup: (C, E) centroids that the cluster embedding starts from, or the path of their .npy file.

        Raises:
            EmprotError: num_heads does not divide d_embed, or output_bias_init is unknown.
        """
        super().__init__()
        if d_embed % num_heads:
            raise EmprotError(f"d_embed = {d_embed} is not a multiple of num_heads = {num_heads}; change one of them")
        if output_bias_init not in ("zeros", "unigram"):
            raise EmprotError(f'output_bias_init is {output_bias_init!r}, expected "zeros" or "unigram"')
        self.d_embed = d_embed
        self.future_horizon = future_horizon
        self.num_clusters = num_clusters
        self.max_history = max_history
        self.residue_dropout = residue_dropout
        self.output_bias_init = output_bias_init
        self.cluster_embedding = ClusterTable(num_clusters, d_embed, cluster_lookup)
        self.frame_embedding = nn.Embedding(max_history, d_embed) if max_history else None
        self.residue_embedding = nn.Embedding(residue_embedding, d_embed) if residue_embedding else None
        self.dropout = Dropout(dropout)
        self.mixing = _mixing(mixing).build(d_embed, num_heads, num_layers, dropout, attention)
        self.horizon_maps = nn.Parameter(torch.eye(d_embed).repeat(future_horizon, 1, 1))
        self.output_table = None if tie_embeddings else nn.Parameter(torch.empty(num_clusters, d_embed))
        self.output_bias = nn.Parameter(torch.zeros(future_horizon, num_clusters))
        self._initialise(residue_embedding_std, time_embedding_std)

    @property
    def same_protein(self) -> bool:
        """Whether it knows single residues, so that it means something only on proteins of training."""
        return self.residue_embedding is not None

    def _initialise(self, residue_std: float, time_std: float) -> None:
        if self.frame_embedding is not None:
            nn.init.normal_(self.frame_embedding.weight, std=time_std)
        if self.residue_embedding is not None:
            nn.init.normal_(self.residue_embedding.weight, std=residue_std)
        if self.output_table is not None:
            nn.init.normal_(self.output_table, std=self.d_embed**-0.5)
        # The horizons start close to each other, but not equal.
        self.horizon_maps.data.add_(torch.randn_like(self.horizon_maps), alpha=0.02)

    def use_class_counts(self, counts: Tensor) -> None:
        """Set the output bias to the log frequencies of the classes, if output_bias_init asks for it."""
        if self.output_bias_init == "unigram":
            smoothed = counts.double() + 0.5
            self.output_bias.data.copy_((smoothed / smoothed.sum()).log().expand_as(self.output_bias))

    def use_cluster_lookup(self, lookup: str | Path | np.ndarray | Tensor) -> None:
        """Replace the cluster embedding by a new one that starts from centroids (C, E)."""
        self.cluster_embedding = ClusterTable(self.num_clusters, self.d_embed, lookup)

    def forward(
        self,
        input_cluster_ids: Tensor,
        times: Tensor | None,
        sequence_lengths: Tensor,
        history_mask: Tensor,
        state: Tensor | None = None,
    ) -> Outputs:
        """cluster_logits (B, F, N, C), context (B, N, D) and, if a state was given, new_state (B, N, D).

        Args:
            input_cluster_ids: (B, T, N) long; values where history_mask is False are not read.
            times: accepted but not used; frames are told apart by their distance from the last one.
            sequence_lengths: accepted but not used; history_mask says which residues exist.
            history_mask: (B, T, N) bool.
            state: (B, N, D), the new_state that the preceding frames gave.
        """
        outputs = self.features(input_cluster_ids, times, sequence_lengths, history_mask, state)
        weight, bias = self.classifier()
        logits = linear(outputs.pop("features"), weight)
        if bias is not None:
            # Expanded first, so that the gradient is summed over residues, then over windows: at once it is far slower.
            logits = logits + bias[None, :, None].expand(len(logits), -1, -1, -1)
        return {"cluster_logits": logits, **outputs}

    def features(
        self,
        input_cluster_ids: Tensor,
        times: Tensor | None,
        sequence_lengths: Tensor,
        history_mask: Tensor,
        state: Tensor | None = None,
    ) -> Outputs:
        """`forward` without the classifier: it gives features (B, F, N, D) instead of the logits."""
        if self.max_history and input_cluster_ids.shape[1] > self.max_history:
            input_cluster_ids = input_cluster_ids[:, -self.max_history :]
            history_mask = history_mask[:, -self.max_history :]
        visible = history_mask & (input_cluster_ids != MISSING_ID)
        context = self.mixing(self._embed(input_cluster_ids, visible), visible, state)
        if not isinstance(context, Tensor) or context.shape != (*visible.shape[::2], self.d_embed):
            wanted = f"a context (B, N, D) = {(*visible.shape[::2], self.d_embed)}"
            raise broken(self.mixing, wanted, context, "give one row of D numbers for each window and residue")
        outputs = {"features": einsum(context, self.horizon_maps, "b n d, f d e -> b f n e"), "context": context}
        return outputs if state is None else {**outputs, "new_state": context}

    def classifier(self) -> tuple[Tensor, Tensor | None]:
        """The weight (C, D) and bias (F, C) that turn features into logits."""
        table = self.cluster_embedding.classes() if self.output_table is None else self.output_table
        return table, self.output_bias

    def _embed(self, ids: Tensor, visible: Tensor) -> Tensor:
        num_windows, num_frames, num_residues = ids.shape
        tokens = self.cluster_embedding(torch.where(visible, ids, self.num_clusters))
        if self.frame_embedding is not None:
            frames = self.frame_embedding(torch.arange(num_frames - 1, -1, -1, device=ids.device))
            tokens = tokens + frames[None, :, None].expand(num_windows, -1, -1, -1)
        if self.residue_embedding is not None:
            tokens = tokens + self._embed_residues(num_windows, num_residues, ids.device)[:, None]
        return self.dropout(tokens)

    def _embed_residues(self, num_windows: int, num_residues: int, device: torch.device) -> Tensor:
        assert self.residue_embedding is not None
        if num_residues > self.residue_embedding.num_embeddings:
            raise EmprotError(
                f"the batch has {num_residues} residues, the model has index embeddings for "
                f"{self.residue_embedding.num_embeddings}; set residue_embedding (NUM_RESIDUES in base.gin) to the "
                "size of the largest protein, or to 0, which is right for several proteins"
            )
        embedded = self.residue_embedding(torch.arange(num_residues, device=device)).expand(num_windows, -1, -1)
        if self.training and self.residue_dropout:
            kept = torch.rand(num_windows, num_residues, 1, device=device) >= self.residue_dropout
            return embedded * kept
        return embedded


def _mixing(given: Mixing | None) -> Mixing:
    """The mixing, by default mixings.Temporal."""
    mixing = given if given is not None else registry.get("mixing", "Temporal")()
    check_method(mixing, "build", "d_embed", "num_heads", "num_layers", "dropout", "attention")
    return mixing

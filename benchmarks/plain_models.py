"""The models of base.gin and axial.gin as one writes them from the modules of torch: nothing is shared with ours."""

import torch
from torch import Tensor, nn

from emprot_core.batch import Batch


class PlainForecaster(nn.Module):
    """Embeddings of ID, frame and residue, some layers, and a linear readout of the last frame for each future step."""

    def __init__(self, sizes: dict[str, int], dropout: float, class_counts: Tensor):
        """
        Args:
            sizes: C, F, K, N and D, and the numbers of layers and heads.
            class_counts: (C,) of the training; the readout starts from their logarithms.
        """
        super().__init__()
        width, self.num_clusters, self.history = sizes["D"], sizes["C"], sizes["K"]
        self.clusters = nn.Embedding(self.num_clusters + 1, width)
        self.frames, self.residues = nn.Embedding(self.history, width), nn.Embedding(sizes["N"], width)
        self.maps = nn.Parameter(torch.eye(width).repeat(sizes["F"], 1, 1))
        frequencies = (class_counts + 0.5) / (class_counts + 0.5).sum()
        self.bias = nn.Parameter(frequencies.log().float().repeat(sizes["F"], 1))
        self.dropout = nn.Dropout(dropout)
        self.layers = self.make_layers(width, sizes["heads"], sizes["layers"], dropout)
        for embedding in (self.clusters, self.frames, self.residues):
            nn.init.normal_(embedding.weight, std=0.02)

    def make_layers(self, width: int, heads: int, layers: int, dropout: float) -> nn.Module:
        norm = nn.LayerNorm(width)
        return nn.TransformerEncoder(_layer(width, heads, dropout), layers, norm, enable_nested_tensor=False)

    def forward(self, batch: Batch) -> Tensor:
        """Logits (B, F, N, C)."""
        ids = batch["input_cluster_ids"][:, -self.history :]
        is_hidden = ids < 0
        tokens = self.clusters(ids.masked_fill(is_hidden, self.num_clusters))
        tokens = tokens + self.frames.weight[:, None] + self.residues.weight[: ids.shape[2]]
        context = self.mix(self.dropout(tokens), is_hidden)
        features = torch.einsum("bnd,fde->bfne", context, self.maps)
        return features @ self.clusters.weight[:-1].T + self.bias[:, None]

    def mix(self, tokens: Tensor, is_hidden: Tensor) -> Tensor:
        """(B, N, D): what the last frame of each residue has seen of the residue's frames (B, K, N, D)."""
        windows, frames, residues, width = tokens.shape
        by_residue = tokens.transpose(1, 2).reshape(windows * residues, frames, width)
        mixed = self.layers(by_residue, src_key_padding_mask=_mask(is_hidden.transpose(1, 2)))
        return mixed[:, -1].view(windows, residues, width)


class PlainAxialForecaster(PlainForecaster):
    """The same with a layer over the residues of each frame after every layer over frames."""

    def make_layers(self, width: int, heads: int, layers: int, dropout: float) -> nn.Module:
        return nn.ModuleList([*(_layer(width, heads, dropout) for _ in range(2 * layers)), nn.LayerNorm(width)])

    def mix(self, tokens: Tensor, is_hidden: Tensor) -> Tensor:
        windows, frames, residues, width = tokens.shape
        *layers, norm = self.layers.children()
        for over_frames, over_residues in zip(layers[::2], layers[1::2], strict=True):
            by_residue = tokens.transpose(1, 2).reshape(windows * residues, frames, width)
            by_residue = over_frames(by_residue, src_key_padding_mask=_mask(is_hidden.transpose(1, 2)))
            by_frame = by_residue.view(windows, residues, frames, width).transpose(1, 2).flatten(0, 1)
            by_frame = over_residues(by_frame, src_key_padding_mask=_mask(is_hidden))
            tokens = by_frame.view(windows, frames, residues, width)
        return norm(tokens[:, -1])


def _layer(width: int, heads: int, dropout: float) -> nn.TransformerEncoderLayer:
    return nn.TransformerEncoderLayer(
        width, heads, 4 * width, dropout, activation="gelu", batch_first=True, norm_first=True
    )


def _mask(is_hidden: Tensor) -> Tensor:
    """(sequences, tokens) of (windows, sequences, tokens); one without any token sees all, or it would be NaN."""
    flat = is_hidden.flatten(0, 1)
    return flat & ~flat.all(dim=1, keepdim=True)

"""A model: every class is as probable as its embedding says, given the last ID."""

from torch import Tensor, nn

from emprot_core import register
from emprot_core.contracts import Outputs


@register("model")
class TemplateModel(nn.Module):
    """Predicts the next frames from the last one: a table with a row for each class."""

    def __init__(self, num_clusters: int, future_horizon: int, width: int = 32):
        """
        Args:
            width: of the embedding.
        """
        super().__init__()
        self.num_clusters, self.future_horizon = num_clusters, future_horizon
        self.embedding = nn.Embedding(num_clusters + 1, width)  # the last row is for missing IDs
        self.readout = nn.Linear(width, future_horizon * num_clusters)

    def forward(
        self,
        input_cluster_ids: Tensor,
        times: Tensor | None,
        sequence_lengths: Tensor,
        history_mask: Tensor,
        state: Tensor | None = None,
    ) -> Outputs:
        """cluster_logits (B, F, N, C) and context (B, N, D).

        Args:
            input_cluster_ids: (B, T, N) long, -1 where an ID is missing.
            history_mask: (B, T, N) bool, False in padding.
        """
        last = input_cluster_ids[:, -1]
        context = self.embedding(last.masked_fill(last < 0, self.num_clusters))
        logits = self.readout(context).unflatten(-1, (self.future_horizon, self.num_clusters))
        return {"cluster_logits": logits.transpose(1, 2), "context": context}

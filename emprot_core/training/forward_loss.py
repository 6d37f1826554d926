"""One batch through model, loss and metrics: the unit that torch.compile and CUDA graphs wrap."""

from collections.abc import Sequence
from typing import cast

from torch import Tensor, nn

from emprot_core.batch import Batch, model_inputs
from emprot_core.conformance.losses import check_inputs
from emprot_core.conformance.models import check_sizes
from emprot_core.contracts import Loss, Metric, Model, UsesTransitions

MetricTerms = dict[str, tuple[Tensor, Tensor]]


class ForwardLoss(nn.Module):
    """Maps a batch to (sum, weight, metrics). The model's parameters are used only within `forward`."""

    def __init__(self, model: Model, loss: Loss, metrics: Sequence[Metric]):
        """
        Raises:
            ContractBroken: the model is no torch module or lacks its sizes, the loss lacks `inputs` or cannot be
                called, or the loss reads features and the model cannot give them.
        """
        super().__init__()
        check_sizes(model)
        check_inputs(loss, model)
        self.model, self.loss, self.metrics = cast(nn.Module, model), loss, list(metrics)
        self.leaves_out = isinstance(model, UsesTransitions)

    def forward(self, batch: Batch) -> tuple[Tensor, Tensor, MetricTerms]:
        """Sum and weight of the loss, and (sum, weight) of total_loss, token_ce and the metrics of this mode."""
        inputs = model_inputs(batch)
        left_out = {"left_out": batch.get("left_out")} if self.leaves_out else {}
        if self.loss.inputs == "features":
            outputs = self.model.features(*inputs, **left_out)  # type: ignore[operator]
            outputs["weight"], outputs["bias"] = self.model.classifier()  # type: ignore[operator]
        else:
            outputs = self.model(*inputs, **left_out)
        terms = self.loss(outputs, batch)
        metrics: MetricTerms = {
            "total_loss": (terms.sum.detach(), terms.weight),
            "token_ce": (terms.scores.nll.sum(), terms.scores.mask.sum()),
        }
        for metric in self.metrics:
            if metric.every_step or not self.training:
                metrics[metric.name] = metric(outputs, batch, terms.scores)
        return terms.sum, terms.weight, metrics

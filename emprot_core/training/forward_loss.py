"""One batch through model, loss and metrics: the unit that torch.compile and CUDA graphs wrap."""

from collections.abc import Sequence

from torch import Tensor, nn

from emprot_core import registry
from emprot_core.batch import Batch, model_inputs
from emprot_core.contracts import FactoredModel, Loss, Metric, Model, UsesTransitions
from emprot_core.errors import EmprotError

MetricTerms = dict[str, tuple[Tensor, Tensor]]


def losses_that_read(inputs: str) -> str:
    """The registered losses with these `inputs`, written as gin files refer to them."""
    losses = [entry for entry in registry.entries("loss") if getattr(entry.target, "inputs", None) == inputs]
    return ", ".join(f"@{loss.short_selector}()" for loss in losses) or "none is registered"


class ForwardLoss(nn.Module):
    """Maps a batch to (sum, weight, metrics). The model's parameters are used only within `forward`."""

    def __init__(self, model: Model, loss: Loss, metrics: Sequence[Metric]):
        """
        Raises:
            EmprotError: the model is not a torch module, the loss lacks `inputs` or cannot be called, or the loss reads
                features and the model cannot give them.
        """
        super().__init__()
        if not isinstance(model, nn.Module):
            raise EmprotError(f"Trainer.model is a {type(model).__name__}, expected a torch.nn.Module")
        if not (callable(loss) and hasattr(loss, "inputs")):
            raise EmprotError(
                f"Trainer.loss is a {type(loss).__name__}, expected an object with `inputs` that can be called; "
                "contracts.Loss says what a loss has"
            )
        if loss.inputs == "features" and not isinstance(model, FactoredModel):
            raise EmprotError(
                f"{type(loss).__name__} reads features and a classifier, which {type(model).__name__} does not give; "
                f"use a loss that reads logits ({losses_that_read('logits')}), or add features() and classifier()"
            )
        self.model, self.loss, self.metrics = model, loss, list(metrics)
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

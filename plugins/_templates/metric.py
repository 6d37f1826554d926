"""A metric: the share of targets whose class the model finds likely enough."""

from torch import Tensor

from emprot_core import register
from emprot_core.batch import Batch
from emprot_core.contracts import Outputs, TokenScores


@register("metric")
class TemplateMetric:
    """The share of targets with an NLL below a bound, for each future frame."""

    name = "template_metric"
    every_step = False  # in validation only

    def __init__(self, bound: float = 1.0):
        """
        Args:
            bound: in nats.
        """
        self.bound = bound

    def __call__(self, outputs: Outputs, batch: Batch, scores: TokenScores) -> tuple[Tensor, Tensor]:
        """Sums and weights, (F,) each; their quotient is logged."""
        found = (scores.nll < self.bound) & scores.mask
        return found.sum(dim=(0, 2)), scores.mask.sum(dim=(0, 2))

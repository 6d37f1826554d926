"""What judges the outputs of a model in training: losses, and the metrics that are logged beside them."""

from typing import Literal, NamedTuple, Protocol

from torch import Tensor

from emprot_core.batch import Batch
from emprot_core.contracts.models import Outputs


class TokenScores(NamedTuple):
    """What most metrics need from a batch. Outside `mask`, nll is 0 and `predicted` has no meaning."""

    mask: Tensor  # (B, F, N) bool, the target mask M
    nll: Tensor  # (B, F, N) float32, plain cross-entropy in nats, detached
    predicted: Tensor  # (B, F, N) long, the most probable class


class LossTerms(NamedTuple):
    """A loss as a sum and its weight, so that micro-batches and ranks add up exactly."""

    sum: Tensor  # () float32, nats
    weight: Tensor  # () float32, the sum of the weights applied
    scores: TokenScores


class Loss(Protocol):
    """Compares the outputs of a model with the targets of a batch.

    `inputs` says which outputs the loss reads: "logits" (outputs["cluster_logits"]) or "features"
    (outputs["features"], outputs["weight"], outputs["bias"]).
    """

    inputs: Literal["logits", "features"]

    def __call__(self, outputs: Outputs, batch: Batch) -> LossTerms: ...


class Metric(Protocol):
    """Gives (sum, weight) of a batch. What is logged is sum / weight over all batches and ranks.

    `name` is the tag under train/ and val/. Sum and weight are scalars, or (F,) for one number per horizon.
    A metric with `every_step` False is computed in validation only.
    """

    name: str
    every_step: bool

    def __call__(self, outputs: Outputs, batch: Batch, scores: TokenScores) -> tuple[Tensor, Tensor]: ...

"""Checks of a loss and of metrics on the outputs of a model."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from emprot_core.batch import Batch, target_mask
from emprot_core.breach import broken, check_attribute, check_method
from emprot_core.conformance.values import check_floats, check_tensor
from emprot_core.contracts import FactoredModel, LossTerms, Metric, Outputs, TokenScores
from emprot_core.registry import entries

OURS = ("total_loss", "token_ce")
"""What is logged of every loss; no metric has such a name."""


def check_inputs(loss: Any, model: Any) -> None:
    """
    Raises:
        ContractBroken: the loss does not say what it reads, cannot be called, or reads what the model does not give.
    """
    if not callable(loss):
        raise broken(
            loss, "a loss that is called with outputs and batch", loss, "define __call__(self, outputs, batch)"
        )
    change = 'write inputs = "logits" in the class (or "features")'
    check_attribute(loss, "inputs", '"logits" or "features"', lambda value: value in ("logits", "features"), change)
    if loss.inputs == "features" and not isinstance(model, FactoredModel):
        raise broken(
            model,
            "features() and classifier(), which the loss reads",
            "a model without them",
            f"add them, or bind a loss that reads logits: {losses_that_read('logits')}",
        )


def losses_that_read(inputs: str) -> str:
    """The registered losses with these `inputs`, written as gin files refer to them."""
    losses = [entry for entry in entries("loss") if getattr(entry.target, "inputs", None) == inputs]
    return ", ".join(f"@{loss.short_selector}()" for loss in losses) or "none is registered"


def check_loss(loss: Any, model: nn.Module, outputs: Outputs, batch: Batch) -> TokenScores:
    """Check what a loss gives for outputs that carry gradients. Gives its scores, for the metrics.

    Raises:
        ContractBroken: it is no LossTerms, a number is not finite, or no gradient reaches the model.
    """
    check_method(loss, "__call__", "outputs", "batch")
    terms = loss(outputs, batch)
    if not isinstance(terms, LossTerms):
        wanted = "LossTerms(sum, weight, scores)"
        raise broken(loss, wanted, terms, "return emprot_core.contracts.LossTerms, with TokenScores of the batch")
    for name, value in (("sum", terms.sum), ("weight", terms.weight)):
        check_floats(loss, name, check_tensor(loss, name, value, {}).detach().float())
    if terms.weight <= 0:
        change = "give the sum of the weights of the targets; this batch has some"
        raise broken(loss, "a weight above 0", f"{terms.weight.item():g}", change)
    if not isinstance(terms.scores, TokenScores):
        raise broken(
            loss, "scores to be TokenScores(mask, nll, predicted)", terms.scores, "return contracts.TokenScores"
        )
    _check_scores(loss, terms.scores, batch, model)
    parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
    if parameters and not _reaches(terms.sum, parameters):
        change = "make it of the outputs, without .detach(), .item() or torch.no_grad()"
        raise broken(loss, "a sum from which gradients reach the model", "none that does", change)
    return terms.scores


def check_metrics(metrics: Sequence[Metric], outputs: Outputs, batch: Batch, scores: TokenScores) -> None:
    """
    Raises:
        ContractBroken: a metric lacks a name, shares one, or gives no (sum, weight) of the shape () or (F,).
    """
    horizon = batch["future_cluster_ids"].shape[1]
    seen = list(OURS)
    for metric in metrics:
        check_attribute(metric, "name", "a str", lambda value: isinstance(value, str))
        check_attribute(metric, "every_step", "a bool", lambda value: isinstance(value, bool))
        if metric.name in seen:
            raise broken(metric, "a name of its own", f"{metric.name!r}, which is taken", "give it another name")
        seen.append(metric.name)
        check_method(metric, "__call__", "outputs", "batch", "scores")
        with torch.no_grad():
            pair = metric(outputs, batch, scores)
        if not isinstance(pair, tuple) or len(pair) != 2:
            raise broken(metric, "a pair (sum, weight) of tensors", pair, "return the sum and how much it weighs")
        for what, value in zip(("sum", "weight"), pair, strict=True):
            axes = {"F": horizon} if isinstance(value, Tensor) and value.dim() == 1 else {}
            check_tensor(metric, f"the {what}", value, axes)
        if pair[0].shape != pair[1].shape:
            got = " and ".join(str(tuple(value.shape)) for value in pair)
            raise broken(metric, "sum and weight of one shape", got, "give both as () or as (F,)")


def _check_scores(loss: Any, scores: TokenScores, batch: Batch, model: Any) -> None:
    mask = target_mask(batch)
    sizes = dict(zip("BFN", mask.shape, strict=True))
    for name, value in scores._asdict().items():
        check_tensor(loss, f"scores.{name}", value, sizes)
    if not torch.equal(scores.mask.bool(), mask):
        change = "use emprot_core.batch.target_mask(batch)"
        raise broken(loss, "scores.mask to mark the targets that count", "another mask", change)
    check_floats(loss, "scores.nll", scores.nll, mask)
    if scores.nll[~mask].any():
        raise broken(loss, "scores.nll to be 0 where no target counts", "other numbers", "multiply it by the mask")
    predicted = scores.predicted[mask]
    if predicted.is_floating_point() or predicted.min() < 0 or predicted.max() >= model.num_clusters:
        wanted = f"scores.predicted to be classes, 0 to {model.num_clusters - 1}"
        got = f"{scores.predicted.dtype} from {predicted.min()} to {predicted.max()}"
        raise broken(loss, wanted, got, "give the argmax of the logits")


def _reaches(total: Tensor, parameters: list[nn.Parameter]) -> bool:
    """Whether a parameter is a leaf of the graph that made the total. The graph is read and not run."""
    wanted, seen, waiting = {id(parameter) for parameter in parameters}, set(), [total.grad_fn]
    while waiting:
        node = waiting.pop()
        if node is None or node in seen:
            continue
        seen.add(node)
        if id(getattr(node, "variable", None)) in wanted:
            return True
        waiting += [following for following, _ in node.next_functions]
    return False

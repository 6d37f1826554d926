"""Checks of a model: its sizes, its outputs on a real batch, and that padding changes nothing."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from emprot_core.batch import MISSING_ID, Batch, model_inputs, target_mask
from emprot_core.breach import broken, check_attribute, check_takes
from emprot_core.conformance.values import check_floats, check_tensor
from emprot_core.contracts import FactoredModel, Outputs, UsesTransitions

_INPUTS = ("input_cluster_ids", "times", "sequence_lengths", "history_mask")
_TOLERANCE = 1e-3  # relative to the largest logit: what float32 sums in another order may differ


def check_sizes(model: Any) -> None:
    """
    Raises:
        ContractBroken: the model is no torch module, or does not say for how many classes and steps it is.
    """
    if not isinstance(model, nn.Module):
        raise broken(model, "a torch.nn.Module", model, "derive the class from torch.nn.Module")
    for name in ("num_clusters", "future_horizon"):
        is_size = lambda value: isinstance(value, int) and value > 0  # noqa: E731
        check_attribute(model, name, "an int above 0", is_size, f"bind {name} to one, or set self.{name} in __init__")


def check_model(model: nn.Module, batch: Batch, reads_features: bool) -> Outputs:
    """Check the outputs of a model in evaluation mode. Gives them, with gradients, for a check of the loss.

    Args:
        batch: a few windows on the device of the model.
        reads_features: the loss reads features and the classifier, not logits.

    Raises:
        ContractBroken: the model takes other arguments, gives something else, or reads what is masked.
    """
    method = "features" if reads_features else "forward"
    extra = ("left_out",) if isinstance(model, UsesTransitions) else ()
    check_takes(model, getattr(model, method), method, *_INPUTS, *extra)
    was_training = model.training
    model.eval()
    try:
        outputs = _call(model, batch, method)
        _check_outputs(model, outputs, batch, reads_features)
        if not reads_features:
            with torch.no_grad():
                _check_padding(model, batch)
        return outputs
    finally:
        model.train(was_training)


def _call(model: nn.Module, batch: Batch, method: str) -> Outputs:
    left_out = {"left_out": batch.get("left_out")} if isinstance(model, UsesTransitions) else {}
    call: Callable[..., Outputs] = getattr(model, method)
    if method == "forward":
        call = model.__call__
    try:
        outputs = call(*model_inputs(batch), **left_out)
    except IndexError as error:
        ids = batch["input_cluster_ids"]
        if not (ids < 0).any():
            raise
        call(*model_inputs({**batch, "input_cluster_ids": ids.clamp_min(0)}), **left_out)  # else it is not the -1
        raise broken(
            model,
            f"a forecast where an ID is {MISSING_ID} (missing)",
            f"{type(error).__name__}: {error}",
            "give missing IDs a row of their own: ids.masked_fill(ids < 0, num_clusters), in a table of "
            "num_clusters + 1 rows",
        ) from error
    if isinstance(outputs, dict) and isinstance(model, FactoredModel) and method == "features":
        outputs["weight"], outputs["bias"] = model.classifier()  # type: ignore[assignment]
    return outputs


def _check_outputs(model: Any, outputs: Any, batch: Batch, reads_features: bool) -> None:
    key = "features" if reads_features else "cluster_logits"
    if not isinstance(outputs, dict):
        raise broken(model, f"a dict with {key!r}", outputs, f"return {{{key!r}: ...}}")
    if key not in outputs:
        raise broken(model, f"outputs with {key!r}", outputs, f"name that output {key!r}")
    targets, classes = batch["future_cluster_ids"], model.num_clusters
    sizes = dict(zip("BFN", targets.shape, strict=True))
    if reads_features:
        weight = outputs["weight"]
        width = weight.shape[1] if isinstance(weight, Tensor) and weight.dim() == 2 else -1
        check_tensor(model, "the weight of classifier()", weight, {"C": classes, "D": width})
        sizes["D"] = width
    else:
        sizes["C"] = classes
    values = check_tensor(model, key, outputs[key], sizes)
    check_floats(model, key, values, target_mask(batch))


def _check_padding(model: nn.Module, batch: Batch) -> None:
    """Compare forecasts of half of the frames, or residues: alone, and with the other half there but masked."""
    for axis, what in ((1, "frames"), (2, "residues")):
        if batch["input_cluster_ids"].shape[axis] < 2:
            continue
        alone, padded = _half(batch, axis, masks=False), _half(batch, axis, masks=True)
        one, other = _logits(model, alone), _logits(model, padded)
        kept = target_mask(alone)
        if one is None or other is None or not kept.any():
            continue  # it is made for windows of one size
        one, other = one[kept], other[:, :, : kept.shape[2]][kept]
        difference = (one - other).abs().max().item()
        if difference <= _TOLERANCE * (1 + one.abs().max().item()):
            continue
        again = _logits(model, alone)
        if again is not None and not torch.equal(again[kept], one):
            continue  # its forecasts are drawn at random
        raise broken(
            model,
            f"a forecast that masked {what} do not change",
            f"logits that differ by {difference:.2g} once masked {what} are added",
            "leave out what history_mask marks False: in attention, in means and in sums",
        )


def _half(batch: Batch, axis: int, masks: bool) -> Batch:
    """The batch with the last half of its frames (axis 1), or the first half of its residues (axis 2).

    Args:
        masks: keep the rest, with missing IDs and masks of False, instead of cutting it off.
    """
    half: dict[str, Any] = {key: value for key, value in batch.items() if isinstance(value, Tensor)}
    middle = batch["input_cluster_ids"].shape[axis] // 2
    part = slice(middle, None) if axis == 1 else slice(None, middle)
    by_axis = {"input_cluster_ids": axis, "history_mask": axis, "times": 1}
    if axis == 2:
        by_axis = {"input_cluster_ids": 2, "history_mask": 2, "future_cluster_ids": 2, "residue_mask": 1}
        half["sequence_lengths"] = half["sequence_lengths"].clamp_max(middle)
    for key, place in by_axis.items():
        if (value := half.get(key)) is None:
            continue
        index = (slice(None),) * place + (part,)
        masked = torch.full_like(value, MISSING_ID if value.dtype == torch.long else 0)
        masked[index] = value[index]
        half[key] = masked if masks else value[index]
    return half  # type: ignore[return-value]


def _logits(model: nn.Module, batch: Batch) -> Tensor | None:
    """None if the model refuses windows of such a size."""
    try:
        return _call(model, batch, "forward")["cluster_logits"].float()
    except Exception:  # which one depends on the model: it fitted this very batch before
        return None

"""What the checks of outputs share: the shape, the dtype and the numbers of a tensor."""

from typing import Any

import torch
from torch import Tensor

from emprot_core.batch import Batch, target_mask
from emprot_core.breach import broken

_NUM_WINDOWS = 2
AXES = "B windows, F future steps, N residues, C classes"


def some_windows(batch: Batch) -> Batch | None:
    """The first windows of a batch that have a target, on which components are tried; None if there is none."""
    rows = target_mask(batch).any(dim=2).any(dim=1).nonzero()[:_NUM_WINDOWS, 0]
    if not len(rows):
        return None
    size = len(batch["residue_mask"])
    cut = {k: v[rows] if isinstance(v, Tensor) and v.dim() and len(v) == size else v for k, v in batch.items()}
    return cut  # type: ignore[return-value]


def check_tensor(component: Any, name: str, value: Any, axes: dict[str, int]) -> Tensor:
    """Check the type and the shape of an output.

    Args:
        axes: the size of each axis by its letter; none for a number.

    Raises:
        ContractBroken: it is no tensor, or has another shape.
    """
    sizes = tuple(axes.values())
    wanted = f"({', '.join(axes)}{',' * (len(axes) == 1)}) = {sizes}, where {AXES}" if axes else "(), one number"
    if not isinstance(value, Tensor):
        raise broken(component, f"{name} to be a tensor {wanted}", value, "give a torch.Tensor")
    if tuple(value.shape) != sizes:
        change = _change(tuple(value.shape), axes)
        raise broken(component, f"{name} of shape {wanted}", value, change)
    return value


def check_floats(component: Any, name: str, value: Tensor, mask: Tensor | None = None) -> None:
    """
    Args:
        mask: where the values count; of the leading axes of `value`. None: everywhere.

    Raises:
        ContractBroken: it does not hold floating-point numbers, or one that counts is not finite.
    """
    if not value.is_floating_point():
        raise broken(component, f"{name} of a floating-point dtype", value, "convert it with .float()")
    counted = value if mask is None else value[mask]
    if not torch.isfinite(counted).all():
        wrong = counted[~torch.isfinite(counted)].flatten()[0].item()
        raise broken(component, f"{name} to be finite where a target counts", f"{wrong}", "find what divides by zero")


def _change(got: tuple[int, ...], axes: dict[str, int]) -> str:
    sizes = tuple(axes.values())
    letters = list(axes)
    if sorted(got) == sorted(sizes) and len(set(sizes)) == len(sizes):
        order = [got.index(size) for size in sizes]
        return f"reorder its axes with .permute({', '.join(map(str, order))})"
    wrong = [letter for letter, one, other in zip(letters, got, sizes, strict=False) if one != other]
    if len(got) == len(sizes) and wrong == ["C"]:
        return "give one number for each class of the vocabulary (num_clusters)"
    if len(got) != len(sizes):
        return f"give it {len(sizes)} axes" if sizes else "add up what it holds, with .sum()"
    return f"correct the axis {wrong[0]}"

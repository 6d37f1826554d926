"""The batch: what a data source hands to a model, a loss and a metric.

Shape legend, used everywhere in EMPROT:

    B  windows in a batch            T  frames of the input (T = K for a fixed history)
    F  future steps (the horizon)    C  clusters in the vocabulary
    N  residues (padded)             D  width of the embedding
    K  frames of history
"""

import hashlib
import math
from collections.abc import Mapping
from functools import lru_cache
from typing import TypedDict

import torch
from torch import Tensor

from emprot_core.errors import EmprotError

MISSING_ID = -1
"""Marks an unknown cluster ID: at chain ends and breaks, in padding, and for steps after the trajectory's end."""


class _RequiredKeys(TypedDict):
    input_cluster_ids: Tensor  # (B, T, N) long, the history, MISSING_ID where unknown
    sequence_lengths: Tensor  # (B,) long, number of residues in each window
    history_mask: Tensor  # (B, T, N) bool, True where the history may be read
    residue_mask: Tensor  # (B, N) bool, True at real residues
    future_cluster_ids: Tensor  # (B, F, N) long, MISSING_ID where there is no target
    future_step_mask: Tensor  # (B, F) bool, True where the target frame counts


class Batch(_RequiredKeys, total=False):
    """A batch of windows. Other keys (delta_t, change_mask, run_length) pass through unread."""

    times: Tensor  # (B, T) float, ns; zeros where unknown
    window_ids: Tensor  # (B,) long, which windows of the data source these are
    group_ids: Tensor  # (B,) long, group_id of the protein that each window comes from
    left_out: Tensor  # (B,) long, the part of the training transitions that each window leaves out; -1: none


def group_id(name: str) -> int:
    """The number of a protein: a hash of its name below 2^63, so that it means the same in every store."""
    return int.from_bytes(hashlib.blake2b(name.encode(), digest_size=8).digest()) >> 1


def model_inputs(batch: Batch) -> tuple[Tensor, Tensor | None, Tensor, Tensor]:
    """What a model takes of a batch, in the order of contracts.Model.forward."""
    return batch["input_cluster_ids"], batch.get("times"), batch["sequence_lengths"], batch["history_mask"]


def target_mask(batch: Batch) -> Tensor:
    """M, (B, F, N) bool: the positions whose target is known and counts."""
    known = batch["future_cluster_ids"] >= 0
    return known & batch["future_step_mask"][:, :, None] & batch["residue_mask"][:, None, :]


def has_target(batch: Batch) -> bool:
    """Whether any target counts. Looks at the middle residue first: chain ends usually have no ID."""
    # Use NumPy arrays: reading one number from an array takes a tenth of the time that it takes from a tensor.
    targets, steps, residues = (
        (tensor if tensor.is_cpu else tensor.cpu()).numpy()
        for tensor in (batch["future_cluster_ids"], batch["future_step_mask"], batch["residue_mask"])
    )
    middle = targets.shape[2] // 2
    if targets[0, 0, middle] >= 0 and steps[0, 0] and residues[0, middle]:
        return True
    return bool(target_mask(batch).any())


def move_batch(batch: Batch, device: torch.device) -> Batch:
    """The batch with every tensor on `device`; other values are kept as they are."""
    moved = {k: v.to(device, non_blocking=True) if isinstance(v, Tensor) else v for k, v in batch.items()}
    return moved  # type: ignore[return-value]


_LAYOUT = {
    "input_cluster_ids": ("B T N", "long"),
    "times": ("B T", "float"),
    "sequence_lengths": ("B", "long"),
    "history_mask": ("B T N", "bool"),
    "residue_mask": ("B N", "bool"),
    "future_cluster_ids": ("B F N", "long"),
    "future_step_mask": ("B F", "bool"),
    "left_out": ("B", "long"),
}


_REQUIRED = frozenset(_RequiredKeys.__annotations__)
Described = tuple[tuple[str, tuple[int, ...], torch.dtype | type], ...]
"""Name, shape and dtype of each value in the layout. A value that is no tensor has shape () and its type."""


def validate_batch(batch: Batch, num_clusters: int, horizon: int | None = None, needs_target: bool = True) -> None:
    """Check a batch on the CPU, before it goes to the device.

    Args:
        needs_target: False for a micro-batch: the targets of its step may all be in other micro-batches.

    Raises:
        EmprotError: a key is missing; a shape or dtype is wrong; an ID lies outside [-1, num_clusters); a time
            is not finite; no position has a target. The message says what was got, what was expected
            and what to do.
    """
    if not isinstance(batch, Mapping):
        raise EmprotError(
            f"a batch is a {type(batch).__name__}, expected a mapping of names to tensors, such as a dict; have the "
            "loader's collate function give one (emprot_core/batch.py says what is in it)"
        )
    if not batch.keys() >= _REQUIRED:
        key = next(key for key in _LAYOUT if key in _REQUIRED and key not in batch)
        axes, dtype = _LAYOUT[key]
        raise EmprotError(
            f"the batch has no {key!r}, got the keys {sorted(batch)}; "
            f"add {key} of shape ({axes.replace(' ', ', ')}), dtype {dtype}"
        )
    given = [(key, value) for key in _LAYOUT if (value := batch.get(key)) is not None or key in _REQUIRED]
    _check_layout(tuple([_describe(key, value) for key, value in given]), horizon)
    for key in ("input_cluster_ids", "future_cluster_ids"):
        _check_ids(key, batch[key], num_clusters)  # type: ignore[literal-required]
    times = batch.get("times")
    if times is not None and not all(math.isfinite(limit) for limit in torch.aminmax(times)):
        raise EmprotError(
            "times has values that are not finite; leave the key out or use zeros where a time is unknown"
        )
    if needs_target and not has_target(batch):
        raise EmprotError(
            "the batch has no valid target: future_step_mask & residue_mask & (future_cluster_ids >= 0) is False "
            "everywhere; leave such windows out, or check that the masks are True where a target counts"
        )


def _describe(key: str, value: object) -> tuple[str, tuple[int, ...], torch.dtype | type]:
    return (key, value.shape, value.dtype) if isinstance(value, Tensor) else (key, (), type(value))


@lru_cache
def _check_layout(described: Described, horizon: int | None) -> None:
    """Check shapes and dtypes. Batches come in few shapes, so the cache leaves one check for each."""
    sizes: dict[str, int] = {} if horizon is None else {"F": horizon}
    for key, shape, dtype in described:
        axes, wanted = _LAYOUT[key]
        if isinstance(dtype, type):
            raise EmprotError(f"{key} is a {dtype.__name__}, expected a torch.Tensor; use torch.as_tensor")
        _check_shape(key, tuple(shape), axes.split(), sizes)
        _check_dtype(key, dtype, wanted)


def _check_shape(key: str, got: tuple[int, ...], axes: list[str], sizes: dict[str, int]) -> None:
    if len(got) != len(axes):
        raise EmprotError(
            f"{key} has shape {got}, expected ({', '.join(axes)}); "
            f"{'add' if len(got) < len(axes) else 'drop'} an axis so that it has {len(axes)}"
        )
    for axis, size in zip(axes, got, strict=True):
        if sizes.setdefault(axis, size) != size:
            wanted = ", ".join(f"{a}={sizes[a]}" if a in sizes else a for a in axes)
            raise EmprotError(f"{key} has shape {got}, expected ({wanted}); its axis {axis} must agree with the rest")


def _check_dtype(key: str, got: torch.dtype, wanted: str) -> None:
    right = got.is_floating_point if wanted == "float" else got == getattr(torch, wanted)
    if not right:
        raise EmprotError(f"{key} has dtype {got}, expected {wanted}; convert it with .{wanted}()")


def _check_ids(key: str, ids: Tensor, num_clusters: int) -> None:
    if ids.numel() == 0:
        raise EmprotError(
            f"{key} has shape {tuple(ids.shape)}: it is empty; give at least one window, frame and residue"
        )
    low, high = (int(v) for v in torch.aminmax(ids))
    if low < MISSING_ID or high >= num_clusters:
        wrong = low if low < MISSING_ID else high
        place = tuple(int(i) for i in (ids == wrong).nonzero()[0])
        raise EmprotError(
            f"{key}{list(place)} is {wrong}, expected {MISSING_ID} (missing) to {num_clusters - 1}; "
            "mark unknown positions with -1, or give the vocabulary's num_clusters"
        )

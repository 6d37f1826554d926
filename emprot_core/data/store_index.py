"""Checks of a store's index, and of the shards that it speaks of."""

from collections.abc import Callable
from pathlib import Path

import numpy as np

from emprot_core.data.store_format import INDEX_FIELDS, StoreError, shard_name

_KINDS = "UUiiiif"  # of the dtypes of INDEX_FIELDS
_LOWEST = {"shard": 0, "offset": 0, "num_frames": 1, "num_residues": 1}


def check_index(directory: Path, index: np.ndarray) -> None:
    """
    Raises:
        StoreError: the index is no table of trajectories, or a number in it is too low.
    """
    path, names = directory / "index.npy", index.dtype.names
    kinds = "".join(index.dtype[name].kind for name in names or ())
    if names != INDEX_FIELDS or kinds != _KINDS or index.ndim != 1 or not len(index):
        raise StoreError(
            f"{path} has the fields {names} of kinds {kinds!r} and the shape {index.shape}, expected {INDEX_FIELDS} of "
            f"kinds {_KINDS!r} and one trajectory or more; prepare the store again"
        )
    for field, low in _LOWEST.items():
        row = int(index[field].argmin())
        if index[field][row] < low:
            raise StoreError(
                f"{path}: trajectory {index['name'][row]!s} has {field} = {index[field][row]}, "
                f"expected at least {low}; prepare the store again"
            )


def check_shards(directory: Path, index: np.ndarray, shard: Callable[[int], np.ndarray]) -> None:
    """
    Args:
        shard: opens a shard by its number.

    Raises:
        StoreError: a shard is no flat array of IDs, or shorter than the index says.
    """
    numbers, frames, residues = index["shard"], index["num_frames"], index["num_residues"]
    ends = index["offset"] + frames.astype(np.int64) * residues
    last = np.lexsort((ends, numbers))
    last = last[np.append(np.diff(numbers[last]) > 0, True)]
    for row in last.tolist():
        ids, path = shard(int(numbers[row])), directory / shard_name(int(numbers[row]))
        if ids.dtype not in (np.int16, np.int32) or ids.ndim != 1:
            raise StoreError(
                f"{path} is {ids.dtype} of shape {ids.shape}, expected flat int16 or int32; prepare the store again"
            )
        if ends[row] > len(ids):
            raise StoreError(
                f"{path} holds {len(ids)} IDs, but trajectory {index['name'][row]!s} ({frames[row]} frames x "
                f"{residues[row]} residues) ends at {ends[row]}; copy or prepare the store again"
            )

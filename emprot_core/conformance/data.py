"""Checks of data and of splits."""

from typing import Any, get_args

import numpy as np

from emprot_core.batch import Batch, validate_batch
from emprot_core.breach import ContractBroken, broken, check_attribute, check_method, title
from emprot_core.contracts import Data, DataSplit, Split, Vocabulary
from emprot_core.data.windows import SPAN_DTYPE, check_apart, check_spans
from emprot_core.errors import EmprotError

_METHODS = {
    "loader": ("split", "seed"),
    "all_windows": ("split",),
    "num_windows": ("split",),
    "split_contents": ("split",),
    "places": ("split", "window_ids"),
    "class_counts": (),
}


def check_data(data: Any) -> None:
    """
    Raises:
        ContractBroken: the data have no vocabulary or digest, or lack a method.
    """
    check_attribute(data, "vocabulary", "a contracts.Vocabulary", lambda value: isinstance(value, Vocabulary))
    check_attribute(data, "digest", "a str that changes with the data", lambda value: isinstance(value, str))
    for name, arguments in _METHODS.items():
        check_method(data, name, *arguments)


def check_batch(data: Data, batch: Batch, horizon: int) -> None:
    """
    Raises:
        ContractBroken: a batch of the data lacks a key, or has a wrong shape, dtype or ID.
    """
    try:
        validate_batch(batch, data.vocabulary.num_clusters, horizon, needs_target=False)
    except EmprotError as error:
        raise ContractBroken(f"{title(data)}: {error}") from error


def spans_of(split: DataSplit, index: np.ndarray) -> dict[Split, np.ndarray]:
    """The spans that a split gives for an index, as arrays of SPAN_DTYPE, each split once. They may be read-only.

    Raises:
        ContractBroken: it gives something else, a span lies outside its trajectory, or a frame is a target twice.
    """
    check_method(split, "spans", "index")
    given = split.spans(index)
    names = get_args(Split)
    wanted = f"a dict of spans for {', '.join(names)}"
    if not isinstance(given, dict) or (unknown := given.keys() - set(names)):
        got = given if not isinstance(given, dict) else f"an entry {min(unknown)!r}"
        raise broken(split, wanted, got, "return {'train': ..., 'validation': ..., 'test': ...}")
    try:
        spans = {name: np.asarray(given.get(name, []), dtype=SPAN_DTYPE).reshape(-1) for name in names}
    except (TypeError, ValueError) as error:
        change = "give arrays, or lists of tuples, of (trajectory, start, stop)"
        raise broken(split, "rows (trajectory, start, stop) of integers", str(error), change) from error
    try:
        for rows in spans.values():
            check_spans(rows, index["num_frames"])
        check_apart(spans, index["name"])
    except EmprotError as error:
        raise ContractBroken(f"{title(split)}: {error}") from error
    return spans

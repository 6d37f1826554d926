"""The frames that classes and transitions are counted in: all of the training split, or a part of a large one."""

from collections.abc import Iterator

import numpy as np

from emprot_core.batch import MISSING_ID
from emprot_core.data.joined_stores import JoinedStores
from emprot_core.data.order import one_of_each
from emprot_core.data.store import TrajectoryStore
from emprot_core.data.windows import SPAN_DTYPE

_BLOCK = 4
"""Frames of a sample that follow each other: they are read at once, and their transitions share what came before."""


def sample_frames(spans: np.ndarray, num_blocks: int | None, seed: int) -> np.ndarray:
    """Spans (SPAN_DTYPE) of so many blocks of 4 frames of these spans, spread evenly over them.

    They are all of the frames if there are no more than that, or if num_blocks is None.
    """
    lengths = spans["stop"] - spans["start"]
    if num_blocks is None or lengths.sum() <= num_blocks * _BLOCK:
        return spans
    in_span = -(-lengths // _BLOCK)
    ends = np.cumsum(in_span)
    blocks = one_of_each(int(ends[-1]), num_blocks, seed)
    span = np.searchsorted(ends, blocks, side="right")
    drawn = np.empty(len(blocks), SPAN_DTYPE)
    drawn["trajectory"] = spans["trajectory"][span]
    drawn["start"] = spans["start"][span] + (blocks - (ends - in_span)[span]) * _BLOCK
    drawn["stop"] = np.minimum(drawn["start"] + _BLOCK, spans["stop"][span])
    return drawn


def read_spans(
    store: TrajectoryStore | JoinedStores, spans: np.ndarray, before: int = 0
) -> Iterator[tuple[int, int, int, np.ndarray]]:
    """For each span (SPAN_DTYPE): trajectory, start, stop, and the IDs of its frames after up to `before` earlier ones.

    Raises:
        StoreError: an ID lies outside [-1, C); the message names trajectory, frame and residue.
    """
    for trajectory, start, stop in spans.tolist():
        ids = store.frames(trajectory, max(0, start - before), stop)
        if ids.size and (ids.min() < MISSING_ID or ids.max() >= store.vocabulary.num_clusters):
            store.check_ids(trajectory)
        yield trajectory, start, stop, ids

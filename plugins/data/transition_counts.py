"""Counts which ID follows which in the training frames of a store."""

from collections.abc import Iterator

import numpy as np
import torch

from emprot_core.contracts import Transitions
from emprot_core.data.joined_stores import JoinedStores
from emprot_core.data.store import TrajectoryStore

from .sampled_frames import read_spans
from .training_parts import TrainingParts

_PENDING = 1 << 24  # entries that are gathered before equal ones are added up


def count_transitions(
    store: TrajectoryStore | JoinedStores, spans: np.ndarray, parts: TrainingParts, max_lag: int
) -> Transitions:
    """The transitions into the frames of the spans (data.windows.SPAN_DTYPE); the earlier frame may lie before them."""
    entries, num_pending = [np.zeros((5, 0), np.int64)], 0
    for trajectory, start, stop, ids in read_spans(store, spans, before=max_lag):
        part = parts.of(np.full(stop - start, trajectory), np.arange(start, stop))
        for lag in range(1, max_lag + 1):
            for counted in _count(ids, part, lag):
                entries.append(counted)
                num_pending += counted.shape[1]
        if num_pending > _PENDING:
            entries, num_pending = [_add_up(entries)], 0
    return Transitions(*torch.from_numpy(_add_up(entries)))


def _count(ids: np.ndarray, part: np.ndarray, lag: int) -> Iterator[np.ndarray]:
    """For each part in a span, the entries (5, E) of one lag.

    Args:
        ids: (frames, N) of the span and of the frames before it.
        part: (P,) that of each frame of the span.
    """
    begin = len(ids) - len(part)
    skipped = max(0, lag - begin)  # frames of the span before which there are not so many
    for number in np.unique(part[skipped:]).tolist():
        frames = begin + skipped + np.flatnonzero(part[skipped:] == number)
        before, after = ids[frames - lag].astype(np.int64).ravel(), ids[frames].astype(np.int64).ravel()
        known = (before >= 0) & (after >= 0)
        width = max(1, int(ids.max()) + 1)
        pairs, counts = np.unique(before[known] * width + after[known], return_counts=True)
        labels = [np.full(len(pairs), number), np.full(len(pairs), lag)]
        yield np.stack([*labels, *np.divmod(pairs, width), counts])


def _add_up(entries: list[np.ndarray]) -> np.ndarray:
    """Entries (5, E) in ascending order, equal ones joined and their counts, the last row, added up."""
    joined = np.concatenate(entries, axis=1)
    joined = joined[:, np.lexsort(joined[3::-1])]
    if not joined.shape[1]:
        return joined
    is_first = np.append(True, (joined[:4, 1:] != joined[:4, :-1]).any(axis=0))
    return np.concatenate([joined[:4, is_first], np.add.reduceat(joined[4:], np.flatnonzero(is_first), axis=1)])

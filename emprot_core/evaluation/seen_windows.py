"""A look at the first test windows of a run: what its model expects of each residue, and what came."""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from emprot_core.batch import MISSING_ID, Batch, target_mask
from emprot_core.contracts import CATrace, Data, ReadsStores, SeenWindows
from emprot_core.data.history import last_known, observed_history
from emprot_core.data.joined_stores import open_stores
from emprot_core.evaluation.forecast import ModelForecast
from emprot_core.evaluation.scored_windows import names_and_frames

NUM_BINS = 10
_MOST_WINDOWS = 64
_MOST_CELLS = 50_000
"""Windows times residues that are looked at: a page with more is slow to open."""
_MOST_CLASSES = 12


class _Part(NamedTuple):
    """The first windows of a batch, all of one trajectory."""

    batch: Batch
    last_frame: np.ndarray  # (B,)
    last: np.ndarray  # (B, N) the last observed ID, MISSING_ID where there is none
    targets: np.ndarray  # (B, F, N), MISSING_ID where none counts


def look(forecaster: ModelForecast, data: Data, horizon: int) -> SeenWindows | None:
    """The first test windows, all of one trajectory, up to 64 of them; None if there are none."""
    if not data.num_windows("test"):
        return None
    names, parts = zip(*_parts(data), strict=True)
    targets = np.concatenate([part.targets.ravel() for part in parts])
    ids, counts = np.unique(targets[targets >= 0], return_counts=True)
    classes = ids[np.argsort(-counts, kind="stable")][:_MOST_CLASSES]
    found = [_look_at(forecaster, part, horizon, classes) for part in parts]
    values = [np.concatenate(own, axis=1) for own in zip(*(each for each, _ in found), strict=True)]
    bins, confusion, transitions = (np.sum(own, axis=0) for own in zip(*(sums for _, sums in found), strict=True))
    return SeenWindows(
        names[0],
        np.concatenate([part.last_frame for part in parts]),
        *(values[0], values[1], values[2], bins, classes, confusion, transitions),
        _structure(data, names[0]),
    )


def _parts(data: Data) -> Iterator[tuple[str, _Part]]:
    """The name of the first test trajectory, again and again, with some windows of it."""
    trajectory, num_windows = "", 0
    for batch in data.all_windows("test"):
        names, frames = names_and_frames(data, "test", batch["window_ids"].numpy())
        trajectory = trajectory or str(names[0])
        own = int((names == trajectory).sum())  # the windows are in the order of the trajectories
        length = int(batch["sequence_lengths"][0])
        wanted = max(8, min(_MOST_WINDOWS, _MOST_CELLS // length)) - num_windows
        count = min(own, wanted)
        if count > 0:
            targets = np.where(target_mask(batch).numpy(), batch["future_cluster_ids"].numpy(), MISSING_ID)
            last = last_known(observed_history(batch))[:count, :length]
            yield trajectory, _Part(batch, frames[:count], last, targets[:count, :, :length])
            num_windows += count
        if own < len(names) or count >= wanted:
            return


def _look_at(
    forecaster: ModelForecast, part: _Part, horizon: int, classes: np.ndarray
) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Change probability, changes and NLL (F, B, N) of a part; and its bins, confusion and transitions."""
    last, shape = part.last, (horizon, *part.last.shape)
    probability, changed, nll = (np.full(shape, np.nan) for _ in range(3))
    bins, side = np.zeros((horizon, 3, NUM_BINS)), len(classes) + 1
    confusion, transitions = np.zeros((side, side)), np.zeros((2, side, side))
    for step in range(horizon):
        p = forecaster.probabilities(part.batch, step + 1)[: last.shape[0], : last.shape[1]]
        target = part.targets[:, step]
        known, best = target >= 0, p.argmax(axis=-1)
        probability[step] = np.where(last >= 0, 1 - _of(p, last), np.nan)
        changed[step] = np.where((last >= 0) & known, target != last, np.nan)
        nll[step] = np.where(known, -np.log2(np.maximum(_of(p, target), 1e-30)), np.nan)
        confidence, hits = p.max(axis=-1)[known], (best == target)[known]
        place = np.clip(np.ceil(confidence * NUM_BINS).astype(int), 1, NUM_BINS) - 1
        for row, weights in zip(bins[step], (confidence, hits, np.ones(len(place))), strict=True):
            row += np.bincount(place, weights, NUM_BINS)
        if step == 0:
            np.add.at(confusion, (_place(target[known], classes), _place(best[known], classes)), 1)
            both = known & (last >= 0)
            begin = _place(last[both], classes)
            np.add.at(transitions[0], (begin, _place(target[both], classes)), 1)
            expected = p[both][:, classes]
            expected = np.concatenate([expected, 1 - expected.sum(axis=1, keepdims=True)], axis=1)
            np.add.at(transitions[1], begin, expected)
    return [probability, changed, nll], [bins, confusion, transitions]


def _of(p: np.ndarray, ids: np.ndarray) -> np.ndarray:
    """(B, N) the probabilities of IDs (B, N); of class 0 where the ID is missing."""
    return np.take_along_axis(p, np.maximum(ids, 0)[..., None], axis=-1)[..., 0]


def _place(ids: np.ndarray, classes: np.ndarray) -> np.ndarray:
    """Where each ID stands among the classes; len(classes) for all others."""
    order = np.argsort(classes)
    found = np.minimum(np.searchsorted(classes, ids, sorter=order), len(classes) - 1)
    return np.where(classes[order[found]] == ids, order[found], len(classes))


def _structure(data: Data, trajectory: str) -> CATrace | None:
    if not isinstance(data, ReadsStores):
        return None
    store = open_stores([place.directory for place in data.places_of_stores()])
    found = store.structure(store.index["name"].tolist().index(trajectory))
    return None if found is None else CATrace(found[0], found[1][:, 1])

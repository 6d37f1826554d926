"""A look at the first test windows of a run: what its model expects of each residue, and what came."""

from typing import Any, NamedTuple

import numpy as np
import torch

from emprot_core.batch import MISSING_ID, Batch, target_mask
from emprot_core.contracts import Data, ReadsStores
from emprot_core.data.history import last_known, observed_history
from emprot_core.data.joined_stores import open_stores
from emprot_core.evaluation.forecast import ModelForecast
from emprot_core.evaluation.scored_windows import names_and_frames
from emprot_core.jobs.forward import outputs_of
from emprot_core.jobs.load import StoredRun

_MOST_WINDOWS = 64
_MOST_CELLS = 50_000
"""Windows times residues that are looked at: a page with more is slow to open."""
NUM_BINS = 10


class Structure(NamedTuple):
    """The residues (N,) of contracts.RESIDUE_DTYPE, and their CA atoms (N, 3) in Angstrom, NaN where unknown."""

    residues: np.ndarray
    ca: np.ndarray


class Seen(NamedTuple):
    """W windows of the first test trajectory. An ID that changed differs from the last one that was observed."""

    trajectory: str
    last_frame: np.ndarray  # (W,) the last input frame
    change_probability: np.ndarray  # (F, W, N), NaN where the last class is unknown
    changed: np.ndarray  # (F, W, N), 1 or 0, NaN where that is unknown
    bins: np.ndarray  # (F, 3, NUM_BINS) sums of the confidence in the likeliest class, of hits, and counts
    structure: Structure | None


class _Part(NamedTuple):
    """A batch of windows of one trajectory."""

    last_frame: np.ndarray
    change_probability: np.ndarray  # (F, B, N)
    changed: np.ndarray
    bins: np.ndarray


def look(run: StoredRun, data: Data, device: torch.device) -> Seen | None:
    """The first test windows, all of one trajectory, up to 64 of them; None if there are none."""
    if not data.num_windows("test"):
        return None
    model: Any = run.model().to(device)
    forecaster = ModelForecast([outputs_of(model)], device)
    trajectory, num_windows, parts = "", 0, []
    for batch in data.all_windows("test"):
        names, frames = names_and_frames(data, "test", batch["window_ids"].numpy())
        trajectory = trajectory or str(names[0])
        own = int((names == trajectory).sum())  # the windows are in the order of the trajectories
        lengths = batch["sequence_lengths"].tolist()
        wanted = max(8, min(_MOST_WINDOWS, _MOST_CELLS // lengths[0])) - num_windows
        count = min(own, wanted)
        if count > 0:
            parts.append(_part(forecaster, batch, frames, count, lengths[0], model.future_horizon))
            num_windows += count
        if own < len(names) or count >= wanted:
            break
    return Seen(
        trajectory,
        np.concatenate([part.last_frame for part in parts]),
        np.concatenate([part.change_probability for part in parts], axis=1),
        np.concatenate([part.changed for part in parts], axis=1),
        np.sum([part.bins for part in parts], axis=0),
        _structure(data, trajectory),
    )


def _part(
    forecaster: ModelForecast, batch: Batch, frames: np.ndarray, count: int, num_residues: int, horizon: int
) -> _Part:
    """The first `count` windows of a batch."""
    mask = target_mask(batch).numpy()
    targets = np.where(mask, batch["future_cluster_ids"].numpy(), MISSING_ID)[:count, :, :num_residues]
    last = last_known(observed_history(batch))[:count, :num_residues]
    probability = np.full((horizon, count, num_residues), np.nan)
    changed, bins = probability.copy(), np.zeros((horizon, 3, NUM_BINS))
    for step in range(horizon):
        p = forecaster.probabilities(batch, step + 1)[:count, :num_residues]
        target = targets[:, step]
        stays = np.take_along_axis(p, np.maximum(last, 0)[..., None], axis=-1)[..., 0]
        probability[step] = np.where(last >= 0, 1 - stays, np.nan)
        changed[step] = np.where((last >= 0) & (target >= 0), target != last, np.nan)
        confidence, hits = p.max(axis=-1)[target >= 0], (p.argmax(axis=-1) == target)[target >= 0]
        place = np.clip(np.ceil(confidence * NUM_BINS).astype(int), 1, NUM_BINS) - 1
        for row, weights in zip(bins[step], (confidence, hits, np.ones(len(place))), strict=True):
            row += np.bincount(place, weights, NUM_BINS)
    return _Part(frames[:count], probability, changed, bins)


def _structure(data: Data, trajectory: str) -> Structure | None:
    if not isinstance(data, ReadsStores):
        return None
    store = open_stores([place.directory for place in data.places_of_stores()])
    found = store.structure(store.index["name"].tolist().index(trajectory))
    return None if found is None else Structure(found[0], found[1][:, 1])

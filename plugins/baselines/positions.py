"""The positions of a batch whose target counts, by horizon: baselines are fitted on them and forecast them."""

from collections.abc import Callable, Iterable
from typing import NamedTuple

import numpy as np

from emprot_core.batch import Batch, target_mask
from emprot_core.contracts import Prediction
from emprot_core.data.history import observed_history
from emprot_core.errors import EmprotError

from .tally import Tally

_RESIDUES_PER_PROTEIN = 1 << 16


class Positions(NamedTuple):
    """P positions (window, residue) of one horizon whose target counts."""

    horizon: int  # h - 1
    window: np.ndarray  # (P,) row of the batch
    residue: np.ndarray  # (P,) column of the batch
    history: np.ndarray  # (P, K) the residue's last K IDs, MISSING_ID where unknown
    target: np.ndarray  # (P,)
    site: np.ndarray  # (P,) number of the (protein, residue) pair, the same in every window of a protein

    @property
    def last(self) -> np.ndarray:
        """(P,) the ID in the last frame, MISSING_ID where unknown."""
        return self.history[:, -1]

    @property
    def num_known(self) -> np.ndarray:
        """(P,) frames of the history with a known ID."""
        return (self.history >= 0).sum(axis=1)

    def rows(self, rows: slice) -> "Positions":
        """Some of the positions."""
        return Positions(self.horizon, *(column[rows] for column in self[1:]))

    def num_seen(self, ids: np.ndarray) -> np.ndarray:
        """(P, J) how many frames of the history show each of the IDs (P, J)."""
        seen = np.zeros(ids.shape, np.int64)
        for frame in self.history.T:
            seen += ids == frame[:, None]
        return seen


Forecast = Callable[[Positions], tuple[np.ndarray, np.ndarray | None]]
"""Positions -> the predicted IDs (P,) and the target's nll in nats (P,), or None."""


def positions(batch: Batch, num_frames: int | None = None) -> list[Positions]:
    """The positions of a batch whose target counts, one entry per horizon, with the last `num_frames` of history.

    Raises:
        EmprotError: the batch has no group_ids, or a protein has more than 65,536 residues.
    """
    if "group_ids" not in batch:
        raise EmprotError("the batch has no 'group_ids'; baselines need them to tell proteins apart: add (B,) long")
    history = observed_history(batch)[:, -(num_frames or 0) :]
    if history.shape[2] > _RESIDUES_PER_PROTEIN:
        raise EmprotError(f"a protein has {history.shape[2]} residues, expected at most {_RESIDUES_PER_PROTEIN}")
    mask = target_mask(batch).cpu().numpy()
    targets = batch["future_cluster_ids"].cpu().numpy()
    groups = batch["group_ids"].cpu().numpy()
    found = []
    for step in range(mask.shape[1]):
        window, residue = np.nonzero(mask[:, step])
        site = groups[window] * _RESIDUES_PER_PROTEIN + residue
        target = targets[window, step, residue]
        found.append(Positions(step, window, residue, history[window, :, residue], target, site))
    return found


def count_keys(
    batches: Iterable[Batch], key: Callable[[Positions], np.ndarray], window: int | None = None
) -> list[tuple[np.ndarray, np.ndarray]]:
    """For each horizon (keys, counts): how often each key occurs at the counted positions of all batches.

    Raises:
        EmprotError: there is no batch.
    """
    tallies: list[Tally] = []
    for batch in batches:
        for at in positions(batch, window):
            if at.horizon == len(tallies):
                tallies.append(Tally())
            tallies[at.horizon].add(key(at))
    if not tallies:
        raise EmprotError("there are no training windows to fit a baseline on; give the training split some")
    return [tally.result() for tally in tallies]


def most_common_target(batches: Iterable[Batch], num_clusters: int) -> int:
    """The commonest cluster among the counted targets of all batches; on ties, the smallest ID."""
    counts = np.zeros(num_clusters, np.int64)
    for batch in batches:
        targets = batch["future_cluster_ids"][target_mask(batch)].cpu().numpy()
        counts += np.bincount(targets, minlength=num_clusters)
    return int(counts.argmax())


def predict_positions(batch: Batch, forecast: Forecast, window: int | None = None) -> Prediction:
    """The Prediction of a batch from a forecast of its counted positions; it is 0 elsewhere."""
    shape = tuple(batch["future_cluster_ids"].shape)
    predicted = np.zeros(shape, np.int64)
    nll = np.zeros(shape)
    has_distribution = True
    for at in positions(batch, window):
        ids, nats = forecast(at)
        predicted[at.window, at.horizon, at.residue] = ids
        has_distribution = nats is not None
        nll[at.window, at.horizon, at.residue] = nats if nats is not None else 0.0
    return Prediction(predicted, nll if has_distribution else None)

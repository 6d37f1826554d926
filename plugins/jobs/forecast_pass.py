"""One pass over windows: probabilities into files that are mapped into memory, and values of residues."""

from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import numpy as np
from tqdm import tqdm

from emprot_core.batch import MISSING_ID, target_mask
from emprot_core.contracts import Forecaster, GivesProbabilities
from emprot_core.data.history import last_known, observed_history
from emprot_core.disk import make_directory
from emprot_core.evaluation.scored_windows import ScoredWindows

from .forecast_windows import Store, Windows
from .residue_values import ResidueValues


class Collected(NamedTuple):
    """What a pass found, by the name of each trajectory."""

    values: dict[str, ResidueValues]
    rows: dict[str, int]  # in the store
    first_frames: dict[str, int]  # the last frame before the first target that counts at h = 1
    probabilities: np.ndarray  # (W, F, N, C or k) float32, in a file
    classes: np.ndarray | None  # (W, F, N, k) int32, in a file; None if all classes are kept


def collect(
    forecaster: GivesProbabilities,
    bar: Forecaster | None,
    store: Store,
    windows: ScoredWindows,
    batches: Iterable[Windows],
    horizon: int,
    top_k: int,
    folder: Path,
) -> Collected:
    """Forecast all windows.

    Args:
        bar: a baseline that the gain is over; None for no gain.
        top_k: with more classes than that, only so many are kept of each row.
        folder: for the two files.
    """
    num_clusters = store.vocabulary.num_clusters
    shape = (len(windows.last_frame), horizon, int(windows.num_residues.max()), min(num_clusters, top_k))
    make_directory(folder)
    kept = np.lib.format.open_memmap(folder / "probabilities.npy", mode="w+", dtype=np.float32, shape=shape)
    classes = None
    if num_clusters > top_k:
        classes = np.lib.format.open_memmap(folder / "classes.npy", mode="w+", dtype=np.int32, shape=shape)
    found = Collected({}, {}, {}, kept, classes)
    done, names = 0, windows.trajectory.tolist()
    with tqdm(total=shape[0], desc="forecast", unit=" windows", disable=None) as progress:
        for part in batches:
            _add(found, part, names[done : done + len(part.rows)], done, forecaster, bar, horizon)
            done += len(part.rows)
            progress.update(len(part.rows))
    return found


def _add(
    found: Collected,
    part: Windows,
    names: list[str],
    done: int,
    forecaster: GivesProbabilities,
    bar: Forecaster | None,
    horizon: int,
) -> None:
    batch = part.batch
    mask, lengths = target_mask(batch).numpy(), batch["sequence_lengths"].tolist()
    targets = np.where(mask, batch["future_cluster_ids"].numpy(), MISSING_ID)
    last = last_known(observed_history(batch))
    nats = None if bar is None else bar.predict(batch).nll_nats
    for row, (name, place, frame) in enumerate(zip(names, part.rows, part.last_frame, strict=True)):
        if name not in found.values:
            found.values[name] = ResidueValues(horizon, lengths[row])
            found.rows[name] = place
        if mask[row, 0].any():
            found.first_frames[name] = min(frame, found.first_frames.get(name, frame))
    for step in range(horizon):
        probabilities = forecaster.probabilities(batch, step + 1)
        for row, name in enumerate(names):
            n = lengths[row]
            own = probabilities[row, :n]
            bits = None if nats is None else nats[row, step, :n] / np.log(2)
            found.values[name].add(step, own, last[row, :n], targets[row, step, :n], bits)
            _keep(found, (done + row, step), own)


def _keep(found: Collected, place: tuple[int, int], own: np.ndarray) -> None:
    """Keep the probabilities (N, C) of one window and horizon; NaN stands for residues that are absent."""
    n, k = len(own), found.probabilities.shape[-1]
    found.probabilities[place][n:] = np.nan
    if found.classes is None:
        found.probabilities[place][:n] = own
        return
    best = np.argpartition(-own, k - 1, axis=-1)[:, :k]
    found.classes[place][:n] = best
    found.probabilities[place][:n] = np.take_along_axis(own, best, axis=-1)

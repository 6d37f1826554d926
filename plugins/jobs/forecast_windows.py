"""The windows that jobs.Forecast is about: those of a split, or frames that are chosen by number."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
from torch import Tensor

from emprot_core.batch import Batch, target_mask
from emprot_core.contracts import Data, ReadsStores, Split
from emprot_core.data.joined_stores import JoinedStores, open_stores
from emprot_core.data.past_batch import batch_before
from emprot_core.data.store import TrajectoryStore
from emprot_core.errors import EmprotError
from emprot_core.evaluation.scored_windows import ScoredWindows, names_and_frames, scored_windows

Frames = Literal["test", "all", "last"] | Sequence[int]
Store = TrajectoryStore | JoinedStores


class Windows(NamedTuple):
    """Some windows, one after another.

    `rows` are those of the store, `last_frame` is the last frame that the forecaster reads.
    """

    rows: list[int]
    last_frame: list[int]
    batch: Batch


def store_of(data: Data) -> Store:
    """The store that data are read from.

    Raises:
        EmprotError: they are read from none.
    """
    if not isinstance(data, ReadsStores):
        raise EmprotError(f"{type(data).__name__} reads no store, which a forecast needs; give Forecast.store")
    places: list[str | Path] = [place.directory for place in data.places_of_stores()]
    return open_stores(places)


def windows_of_split(data: Data, split: Split, store: Store) -> tuple[ScoredWindows, Iterator[Windows]]:
    """The windows of a split that have a target, and their batches in the same order."""
    rows = {name: row for row, name in enumerate(store.index["name"].tolist())}

    def batches() -> Iterator[Windows]:
        for batch in data.all_windows(split):
            counted = target_mask(batch).any(dim=2).any(dim=1)
            kept: Any = {key: value[counted] if isinstance(value, Tensor) else value for key, value in batch.items()}
            names, frames = names_and_frames(data, split, kept["window_ids"].numpy())
            if len(names):
                yield Windows([rows[name] for name in names.tolist()], frames.tolist(), kept)

    return scored_windows(data, split), batches()


def windows_at(
    data: Data, store: Store, frames: Literal["last"] | Sequence[int], input_frames: int, horizon: int
) -> tuple[ScoredWindows, Iterator[Windows]]:
    """Windows that end with chosen frames of every trajectory of the data, whatever their split.

    Raises:
        EmprotError: a trajectory has no such frame.
    """
    wanted = {each.trajectory for each in data.split_contents("test")}
    rows = [row for row, name in enumerate(store.index["name"].tolist()) if name in wanted]
    num_frames, num_residues = store.index["num_frames"], store.index["num_residues"]
    places = []
    for row in rows:
        for frame in [int(num_frames[row]) - 1] if frames == "last" else frames:
            if not 0 <= int(frame) < num_frames[row]:
                name = str(store.index["name"][row])
                raise EmprotError(f"Forecast.frames has {frame}, but {name} has the frames 0 to {num_frames[row] - 1}")
            places.append((row, int(frame)))

    def batches() -> Iterator[Windows]:
        for row, frame in places:
            group, step = str(store.index["group"][row]), float(store.index["time_step_ns"][row])
            yield Windows(
                [row], [frame], batch_before([store.ids(row)], [frame], input_frames, horizon, [group], [step])
            )

    names = np.array([str(store.index["name"][row]) for row, _ in places])
    counts = np.array([num_residues[row] for row, _ in places], np.int64)
    return ScoredWindows(names, np.array([frame for _, frame in places], np.int64), counts, ""), batches()

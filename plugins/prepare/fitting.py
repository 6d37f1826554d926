"""Chooses the frames that tokenizers learn from: only those that no run holds out."""

import fnmatch
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
from tqdm import tqdm

from emprot_core.contracts import DataSplit, Reader, Structure
from emprot_core.data.store_format import make_index
from emprot_core.errors import EmprotError

from .parts import Part
from .reading import read_chunks, residue_sequence

Spans = Mapping[str, Sequence[tuple[int, int]]]
"""Frames [start, stop) of each trajectory, by its name, in the order of time."""


class Measured(NamedTuple):
    """What a split may use of a trajectory that was read but not encoded."""

    name: str
    group: str
    sequence: str
    num_frames: int
    num_residues: int
    time_step_ns: float


Extent = Measured | Part


def measure(reader: Reader, name: str, path: Path) -> Measured:
    """Read a trajectory to measure its extent; ValueError if the file is bad."""
    first, num_frames = None, 0
    for chunk in read_chunks(reader, path):
        first = chunk if first is None else first
        num_frames += len(chunk.coordinates)
    assert first is not None
    return Measured(
        name, first.group or name, residue_sequence(first), num_frames, first.coordinates.shape[1], first.time_step_ns
    )


def choose_spans(
    reader: Reader,
    trajectories: Mapping[str, Path],
    fit_on: Sequence[str],
    fraction: float,
    group_by: Literal["group", "sequence"],
    split: DataSplit | None,
    skip: Callable[[str, ValueError], None],
) -> Spans:
    """The frames that tokenizers learn from; none if `fit_on` is empty.

    Args:
        fit_on: patterns for the names of the trajectories.
        fraction: share of the frames of each, from the start.
        skip: told of each trajectory that cannot be read.

    Raises:
        EmprotError: `fit_on` matches no trajectory, or no frame is left.
    """
    if not fit_on:
        return {}
    chosen = [name for name in trajectories if any(fnmatch.fnmatchcase(name, p) for p in fit_on)]
    if not chosen:
        raise EmprotError(f"Prepare.fit_on = {list(fit_on)} matches none of {', '.join(trajectories)}")
    measured: dict[str, Measured] = {}
    looked_at = chosen if split is None else list(trajectories)  # a split depends on all of them
    for name in tqdm(looked_at, desc="counting frames to learn from", unit=" trajectory", disable=None):
        try:
            measured[name] = measure(reader, name, trajectories[name])
        except ValueError as error:
            skip(name, error)
    every = list(measured.values())
    spans = first_frames([measured[name] for name in chosen if name in measured], fraction)
    spans = inside_training(spans, every, groups_of(every, group_by), split)
    if not spans:
        raise EmprotError(
            f"Prepare.fit_on = {list(fit_on)} leaves no frame to learn from: the split holds out, or the readers "
            f"refuse, all of {', '.join(chosen[:8])}; name other trajectories"
        )
    return spans


def groups_of(trajectories: Iterable[Extent], group_by: Literal["group", "sequence"]) -> dict[str, str]:
    """The group of each trajectory, by name; by sequence, equal sequences share the group of the first one."""
    if group_by == "group":
        return {trajectory.name: trajectory.group for trajectory in trajectories}
    first: dict[str, str] = {}
    return {t.name: first.setdefault(t.sequence or t.group, t.group) for t in trajectories}


def index_of(trajectories: Iterable[Extent], groups: Mapping[str, str]) -> np.ndarray:
    """The index of a store of these trajectories, except that shard and offset, the place of the IDs, are 0."""
    return make_index(
        [(t.name, groups[t.name], 0, 0, t.num_frames, t.num_residues, t.time_step_ns) for t in trajectories]
    )


def first_frames(trajectories: Sequence[Extent], fraction: float) -> Spans:
    """The first `fraction` of the frames of each trajectory, at least one frame."""
    return {t.name: [(0, max(1, round(t.num_frames * fraction)))] for t in trajectories}


def inside_training(
    spans: Spans, trajectories: Sequence[Extent], groups: Mapping[str, str], split: DataSplit | None
) -> Spans:
    """The frames of `spans` that a split of all trajectories gives to training; without a split, all of them."""
    if split is None:
        return spans
    found: dict[str, list[tuple[int, int]]] = {}
    for row, start, stop in sorted(split.spans(index_of(trajectories, groups))["train"].tolist()):
        name = trajectories[row].name
        for first, last in spans.get(name, ()):
            if max(first, start) < min(last, stop):
                found.setdefault(name, []).append((max(first, start), min(last, stop)))
    return found


def check_still_inside(learnt: Spans, inside: Spans, kept: Iterable[Extent]) -> None:
    """Raise ValueError if tokenizers learnt from frames of a kept trajectory that are no longer in training."""
    names = {trajectory.name for trajectory in kept}
    for name, frames in learnt.items():
        if name in names and frames != inside.get(name):
            raise EmprotError(
                f"the tokenizers learnt from frames of {name} that the split holds out now that other trajectories "
                "were skipped; take those out of Prepare.source and start again"
            )


def read_spans(reader: Reader, paths: Mapping[str, Path], spans: Spans) -> Iterator[Structure]:
    """The frames of the spans, chunk by chunk, each chunk with a group; reading stops after the last span."""
    for name, frames in spans.items():
        offset = 0
        for chunk in read_chunks(reader, paths[name]):
            for start, stop in frames:
                part = slice(max(0, start - offset), max(0, stop - offset))
                if len(chunk.coordinates[part]):
                    ids = None if chunk.cluster_ids is None else chunk.cluster_ids[part]
                    yield chunk._replace(
                        coordinates=chunk.coordinates[part], cluster_ids=ids, group=chunk.group or name
                    )
            offset += len(chunk.coordinates)
            if offset >= frames[-1][1]:
                break

"""What tokenizers learn from: frames that no run holds out."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np

from emprot_core.contracts import DataSplit, Reader, Structure
from emprot_core.data.store_format import make_index

from .encoding import Part
from .reading import read_chunks, residue_sequence

Spans = Mapping[str, Sequence[tuple[int, int]]]
"""Frames [start, stop) of each trajectory, by its name, in the order of time."""


class Measured(NamedTuple):
    """What a split may look at, of a trajectory that was read but not encoded."""

    name: str
    group: str
    sequence: str
    num_frames: int
    num_residues: int
    time_step_ns: float


Extent = Measured | Part


def measure(reader: Reader, name: str, path: Path) -> Measured:
    """Read a trajectory for its extent; ValueError if it is bad."""
    first, num_frames = None, 0
    for chunk in read_chunks(reader, path):
        first = chunk if first is None else first
        num_frames += len(chunk.coordinates)
    assert first is not None
    return Measured(
        name, first.group or name, residue_sequence(first), num_frames, first.coordinates.shape[1], first.time_step_ns
    )


def groups_of(trajectories: Iterable[Extent], group_by: Literal["group", "sequence"]) -> dict[str, str]:
    """The group of each trajectory, by its name; by sequence, those of one sequence share the group of the first."""
    if group_by == "group":
        return {trajectory.name: trajectory.group for trajectory in trajectories}
    first: dict[str, str] = {}
    return {t.name: first.setdefault(t.sequence or t.group, t.group) for t in trajectories}


def index_of(trajectories: Iterable[Extent], groups: Mapping[str, str]) -> np.ndarray:
    """The index that a store of these trajectories has, but for where the IDs lie (shard and offset are 0)."""
    return make_index(
        [(t.name, groups[t.name], 0, 0, t.num_frames, t.num_residues, t.time_step_ns) for t in trajectories]
    )


def first_frames(trajectories: Sequence[Extent], fraction: float) -> Spans:
    """The first part of the frames of each, one frame or more."""
    return {t.name: [(0, max(1, round(t.num_frames * fraction)))] for t in trajectories}


def inside_training(
    spans: Spans, trajectories: Sequence[Extent], groups: Mapping[str, str], split: DataSplit | None
) -> Spans:
    """Those of the frames that a split of all trajectories gives to training; all of them without a split."""
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
    """Raise ValueError if frames that were learnt from are no longer in training, being among what is kept."""
    names = {trajectory.name for trajectory in kept}
    for name, frames in learnt.items():
        if name in names and frames != inside.get(name):
            raise ValueError(
                f"the tokenizers learnt from frames of {name} that the split holds out now that other trajectories "
                "were skipped; take those out of Prepare.source and start again"
            )


def read_spans(reader: Reader, paths: Mapping[str, Path], spans: Spans) -> Iterator[Structure]:
    """These frames, chunk by chunk, each chunk with a group; a trajectory is read no further than its last span."""
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

"""Finds what looks wrong with a store and would silently spoil a result."""

import itertools
import math
from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import get_args

import numpy as np

from emprot_core.batch import MISSING_ID
from emprot_core.contracts import Split
from emprot_core.data.store import TrajectoryStore

from .parts import Part

SATURATED_PERSISTENCE = 0.9
"""Above this, little is left to forecast. On the sample, Protein Blocks (.945) and DSSP (.908) are above."""
NOISY_PERSISTENCE = 0.25
"""Below this, most changes are noise. k-means with 1024 classes (.227) is below."""
_MAX_SHOWN = 8
_MIN_FRAMES_FOR_ORDER = 20
_MAX_TOKENS_FOR_ORDER = 1 << 22
_NO_ORDER_EXCESS = 0.02


def find_warnings(store: TrajectoryStore, parts: Sequence[Part], persistence_accuracy: float) -> list[str]:
    """A line for each thing that looks wrong with a store of these parts."""
    return [
        *_vocabulary_warnings(persistence_accuracy),
        *_trajectory_warnings(store, parts),
        *_order_warnings(store),
    ]


def _vocabulary_warnings(accuracy: float) -> list[str]:
    if accuracy > SATURATED_PERSISTENCE:
        return [
            f"the vocabulary is nearly saturated: an ID stays the same in {accuracy:.1%} of frames, so little is left "
            "to forecast; take frames further apart (Prepare.stride=5), or more classes"
        ]
    if accuracy < NOISY_PERSISTENCE:
        return [
            f"the vocabulary is mostly noise at this spacing: an ID stays the same in {accuracy:.1%} of frames; "
            "take fewer classes, or frames closer together"
        ]
    return []


def _trajectory_warnings(store: TrajectoryStore, parts: Sequence[Part]) -> list[str]:
    name = store.vocabulary.name
    twins: dict[tuple[str, int], list[str]] = defaultdict(list)
    groups: dict[str, set[str]] = defaultdict(set)
    group_of = dict(zip(store.index["name"].tolist(), store.index["group"].tolist(), strict=True))
    for part in parts:
        twins[part.sha256[name], part.num_frames].append(part.name)
        if part.sequence:
            groups[part.sequence].add(group_of[part.name])
    found = [f"{_few(names)} have the same IDs: duplicates?" for names in twins.values() if len(names) > 1]
    found += [
        f"the groups {_few(sorted(same))} have one sequence of residues: a split by group may put the same "
        "protein on both sides; bind Prepare.group_by = 'sequence'"
        for same in groups.values()
        if len(same) > 1
    ]
    found += _split_warnings(store, parts)
    told: dict[str, list[str]] = defaultdict(list)
    for part in parts:
        for note in part.notes:
            told[note].append(part.name)
        empty = part.empty_residues[name]
        if len(empty) > part.num_ends:
            count = f"{len(empty)} of {part.num_residues}"
            told[f"{count} residues have no ID in any frame: {_few(map(str, empty))}"].append(part.name)
    return found + [_once(text, names) for text, names in told.items()]


def _once(text: str, names: Sequence[str]) -> str:
    """One line for a warning of one or several trajectories."""
    return f"{names[0]}: {text}" if len(names) == 1 else f"{len(names)} trajectories ({_few(names)}): {text}"


def _few(names: Iterable[str]) -> str:
    first = list(itertools.islice(names, _MAX_SHOWN + 1))
    return ", ".join([*first[:_MAX_SHOWN], "..."] if len(first) > _MAX_SHOWN else first)


def _split_warnings(store: TrajectoryStore, parts: Sequence[Part]) -> list[str]:
    """Warns of proteins on both sides of the store's split, unless it divides frames (by time) and not proteins."""
    if not store.keeps_split:
        return []
    rows = {split: set(store.split_spans(split)["trajectory"].tolist()) for split in get_args(Split)}
    held_out = rows["validation"] | rows["test"]
    if rows["train"] & held_out:
        return []
    protein = [part.sequence or part.group for part in parts]
    seen = {protein[row] for row in rows["train"]}
    leaked = [parts[row].name for row in sorted(held_out) if protein[row] in seen]
    return [
        f"{name} is held out, but its protein is in training: bind Prepare.group_by = 'sequence'" for name in leaked
    ]


def _order_warnings(store: TrajectoryStore) -> list[str]:
    told: dict[str, list[str]] = defaultdict(list)
    for trajectory in range(len(store)):
        problem = _order_problem(store.ids(trajectory))
        if problem:
            told[problem.partition(":")[0]].append(f"{store.index['name'][trajectory]!s}: {problem}")
    return [texts[0] if len(texts) == 1 else f"{texts[0]} (and {len(texts) - 1} more)" for texts in told.values()]


def _order_problem(ids: np.ndarray) -> str:
    """What is wrong with the order of the frames, judged by how alike successive frames are; "" if nothing is."""
    ids = ids[: max(_MIN_FRAMES_FOR_ORDER, _MAX_TOKENS_FOR_ORDER // ids.shape[1])]
    if len(ids) < _MIN_FRAMES_FOR_ORDER:
        return ""
    now, far = _agreement(ids, 1), _agreement(ids, len(ids) // 2)
    numbers = [np.array(sorted(map(str, range(first, first + len(ids)))), dtype=np.int64) for first in (0, 1)]
    restored = max(_agreement(ids[np.argsort(number)], 1) for number in numbers)
    noise = math.sqrt(now * (1 - now) / ids.size)  # standard error of the share; chance exceeds 3 of them once in 700
    if restored > now + max(_NO_ORDER_EXCESS * (1 - now), 1e-3, 3 * noise):
        return (
            f"wrong time order: its frames seem to be sorted by name (1, 10, 2, ...): an ID persists in {now:.3f} of "
            f"frames, and in {restored:.3f} once they are sorted by number; sort them"
        )
    if far < 1 and now - far < _NO_ORDER_EXCESS * (1 - far):
        return (
            f"its frames show no order in time: successive ones agree in {now:.3f} of residues, far ones in {far:.3f}; "
            "are they shuffled, or too far apart?"
        )
    return ""


def _agreement(ids: np.ndarray, lag: int) -> float:
    """How often a known ID is the same `lag` frames later; 0 if no ID is known."""
    known = (ids[lag:] != MISSING_ID) & (ids[:-lag] != MISSING_ID)
    return float(((ids[lag:] == ids[:-lag]) & known).sum() / max(1, known.sum()))

"""What is in a store, and what looks wrong with it."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, get_args

import numpy as np

from emprot_core.batch import MISSING_ID
from emprot_core.contracts import Split
from emprot_core.data.store import TrajectoryStore, split_array
from emprot_core.jobs.encoding import Part

SATURATED_PERSISTENCE = 0.9
"""Protein Blocks (.945) and DSSP (.908) of the sample are above: little is left to forecast."""
NOISY_PERSISTENCE = 0.25
"""k-means with 1024 classes (.227) is below: most changes are noise."""
_BLOCK_TOKENS = 1 << 22
_MIN_FRAMES_FOR_ORDER = 20
_MAX_TOKENS_FOR_ORDER = 1 << 22
_NO_ORDER_EXCESS = 0.02


class StoreReport(NamedTuple):
    """The figures of a store. Accuracies and rates are over residues with an ID in both frames."""

    store: str
    num_trajectories: int
    num_groups: int
    num_frames: int
    num_tokens: int
    residues: tuple[int, int]  # fewest and most
    ids_used: int
    num_clusters: int
    entropy_bits: float  # of the unigram distribution
    persistence_accuracy: float  # how often an ID is the same a frame later; NaN without such pairs
    frames_per_s: float  # of the trajectories encoded in this run, writing the stores included
    tokens_per_s: float
    tokens_per_s_core: float  # of the tokenizer alone
    warnings: tuple[str, ...]
    skipped: Mapping[str, str]
    sha256: Mapping[str, str]  # of the IDs of each trajectory

    def as_json(self) -> dict[str, Any]:
        """JSON values; figures that are not known are null."""
        values = self._asdict() | {"change_rate": 1 - self.persistence_accuracy}
        return {name: None if isinstance(v, float) and np.isnan(v) else v for name, v in values.items()}

    def lines(self) -> list[str]:
        """What the log says: figures, throughput, and a line a warning."""
        low, high = self.residues
        return [
            f"{self.store}: trajectories {self.num_trajectories}, frames {self.num_frames}, residues {low}-{high}, "
            f"IDs used {self.ids_used} of {self.num_clusters}, unigram entropy {self.entropy_bits:.2f} bits, "
            f"persistence accuracy {self.persistence_accuracy:.3f}, change rate {1 - self.persistence_accuracy:.3f}",
            f"{self.store}: {self.frames_per_s:.0f} frames/s and {self.tokens_per_s:.0f} tokens/s in all, "
            f"{self.tokens_per_s_core:.0f} tokens/s a core in the tokenizer",
            *(f"{self.store}: warning: {warning}" for warning in self.warnings),
            *(f"{self.store}: skipped {name}: {reason}" for name, reason in self.skipped.items()),
        ]


def report_store(
    store: TrajectoryStore, parts: Sequence[Part], skipped: Mapping[str, str], new: Sequence[Part], elapsed_s: float
) -> StoreReport:
    """The report on a store of these parts; `new` are those encoded now, all of it in `elapsed_s`."""
    name = store.vocabulary.name
    counts, same, pairs = _count(store)
    shares = counts[counts > 0] / max(1, counts.sum())
    accuracy = same / pairs if pairs else float("nan")
    frames, residues = store.index["num_frames"].astype(np.int64), store.index["num_residues"]
    tokens = int((frames * residues).sum())
    encode_s = sum(part.encode_s[name] for part in parts)
    return StoreReport(
        store=str(store.directory),
        num_trajectories=len(store),
        num_groups=len(np.unique(store.index["group"])),
        num_frames=int(frames.sum()),
        num_tokens=tokens,
        residues=(int(residues.min()), int(residues.max())),
        ids_used=len(shares),
        num_clusters=len(counts),
        entropy_bits=float(-(shares * np.log2(shares)).sum()),
        persistence_accuracy=accuracy,
        frames_per_s=sum(part.num_frames for part in new) / elapsed_s,
        tokens_per_s=sum(part.num_frames * part.num_residues for part in new) / elapsed_s,
        tokens_per_s_core=tokens / encode_s if encode_s > 0 else float("nan"),
        warnings=(*_vocabulary_warnings(accuracy), *_trajectory_warnings(store, parts), *_order_warnings(store)),
        skipped=skipped,
        sha256={part.name: part.sha256[name] for part in parts},
    )


def _count(store: TrajectoryStore) -> tuple[np.ndarray, int, int]:
    """How often each class occurs, and of how many pairs of successive IDs how many are the same."""
    counts = np.zeros(store.vocabulary.num_clusters, dtype=np.int64)
    same = pairs = 0
    for trajectory in range(len(store)):
        ids = store.ids(trajectory)
        rows = max(2, _BLOCK_TOKENS // ids.shape[1])
        for start in range(0, len(ids), rows):
            block = ids[start : start + rows + 1]  # the last frame is the first of the next block
            counts += np.bincount(block[:rows][block[:rows] >= 0], minlength=len(counts))
            known = (block[1:] >= 0) & (block[:-1] >= 0)
            pairs += int(known.sum())
            same += int(((block[1:] == block[:-1]) & known).sum())
    return counts, same, pairs


def _vocabulary_warnings(accuracy: float) -> list[str]:
    if accuracy > SATURATED_PERSISTENCE:
        return [
            f"the vocabulary is nearly saturated: an ID stays the same in {accuracy:.1%} of frames, so little is left "
            "to forecast; take frames further apart, or more classes"
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
    found = [f"{', '.join(names)} have the same IDs: duplicates?" for names in twins.values() if len(names) > 1]
    found += [
        f"the groups {', '.join(sorted(same))} have one sequence of residues: a split by group may put the same "
        "protein on both sides; bind Prepare.group_by = 'sequence'"
        for same in groups.values()
        if len(same) > 1
    ]
    found += _split_warnings(store, parts)
    for part in parts:
        found += [f"{part.name}: {note}" for note in part.notes]
        empty = part.empty_residues[name]
        if len(empty) > part.num_ends:
            shown = ", ".join(map(str, empty[:8])) + (", ..." if len(empty) > 8 else "")
            found.append(f"{part.name}: {len(empty)} of {part.num_residues} residues have no ID in any frame: {shown}")
    return found


def _split_warnings(store: TrajectoryStore, parts: Sequence[Part]) -> list[str]:
    """Proteins on both sides of the split that the store keeps, unless it parts frames (by time) and not proteins."""
    if not (store.directory / f"{split_array('train')}.npy").is_file():
        return []
    rows = {split: set(store.array(split_array(split))["trajectory"].tolist()) for split in get_args(Split)}
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
    found = []
    for trajectory in range(len(store)):
        problem = _order_problem(store.ids(trajectory))
        if problem:
            found.append(f"{store.index['name'][trajectory]!s}: {problem}")
    return found


def _order_problem(ids: np.ndarray) -> str:
    """What is wrong with the order of the frames, judged by how alike successive frames are; "" where nothing is."""
    ids = ids[: max(_MIN_FRAMES_FOR_ORDER, _MAX_TOKENS_FOR_ORDER // ids.shape[1])]
    if len(ids) < _MIN_FRAMES_FOR_ORDER:
        return ""
    now, far = _agreement(ids, 1), _agreement(ids, len(ids) // 2)
    numbers = [np.array(sorted(map(str, range(first, first + len(ids)))), dtype=np.int64) for first in (0, 1)]
    restored = max(_agreement(ids[np.argsort(number)], 1) for number in numbers)
    if restored > now + max(_NO_ORDER_EXCESS * (1 - now), 1e-3):
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
    """How often a known ID is the same `lag` frames later; 0 where nothing is known."""
    known = (ids[lag:] != MISSING_ID) & (ids[:-lag] != MISSING_ID)
    return float(((ids[lag:] == ids[:-lag]) & known).sum() / max(1, known.sum()))

"""Reports what is in a store, how fast it was made, and how to train on it."""

import json
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from emprot_core.data.store import TrajectoryStore
from emprot_core.files import write_atomically

from .parts import Part
from .store_warnings import find_warnings

_BLOCK_TOKENS = 1 << 22
_MIN_GROUPS_TO_SPLIT = 3  # one each for training, validation and test


class StoreReport(NamedTuple):
    """The figures of a store. Persistence accuracy counts residues with an ID in both frames."""

    store: str
    num_trajectories: int
    num_groups: int
    num_frames: int
    num_tokens: int
    residues: tuple[int, int]  # fewest and most
    ids_used: int
    num_clusters: int
    entropy_bits: float  # of the unigram distribution
    persistence_accuracy: float  # how often an ID is the same one frame later; NaN without such pairs
    frames_per_s: float  # of the trajectories encoded in this run, writing the stores included; NaN without any
    tokens_per_s: float
    tokens_per_s_core: float  # in the tokenizer alone
    warnings: tuple[str, ...]
    skipped: Mapping[str, str]
    sha256: Mapping[str, str]  # of the IDs of each trajectory

    def as_json(self) -> dict[str, Any]:
        """The figures as JSON values; unknown ones are null."""
        values = self._asdict() | {"change_rate": 1 - self.persistence_accuracy}
        return {name: None if isinstance(v, float) and np.isnan(v) else v for name, v in values.items()}

    def write(self, path: Path) -> None:
        write_atomically(path, f"{json.dumps(self.as_json(), indent=1)}\n".encode())

    def lines(self) -> list[str]:
        """Lines for the log: figures, throughput, and one per warning or skipped trajectory."""
        low, high = self.residues
        throughput = f"{self.frames_per_s:.0f} frames/s and {self.tokens_per_s:.0f} tokens/s in all, "
        throughput = "" if np.isnan(self.frames_per_s) else throughput
        return [
            f"{self.store}: trajectories {self.num_trajectories}, frames {self.num_frames}, residues {low}-{high}, "
            f"IDs used {self.ids_used} of {self.num_clusters}, unigram entropy {self.entropy_bits:.2f} bits, "
            f"persistence accuracy {self.persistence_accuracy:.3f}, change rate {1 - self.persistence_accuracy:.3f}",
            f"{self.store}: {throughput}{self.tokens_per_s_core:.0f} tokens/s a core in the tokenizer",
            *(f"{self.store}: warning: {warning}" for warning in self.warnings),
            *(f"{self.store}: skipped {name}: {reason}" for name, reason in self.skipped.items()),
        ]


def report_store(
    store: TrajectoryStore,
    directory: Path,
    parts: Sequence[Part],
    skipped: Mapping[str, str],
    new: Sequence[Part],
    elapsed_s: float,
) -> StoreReport:
    """The report on a store of these parts that will lie in `directory`.

    `new` are the parts that were encoded in this run, which took `elapsed_s` in all.
    """
    name = store.vocabulary.name
    counts, same, pairs = _count(store)
    shares = counts[counts > 0] / max(1, counts.sum())
    accuracy = same / pairs if pairs else float("nan")
    frames, residues = store.index["num_frames"].astype(np.int64), store.index["num_residues"]
    tokens = int((frames * residues).sum())
    encode_s = sum(part.encode_s[name] for part in parts)
    return StoreReport(
        store=str(directory),
        num_trajectories=len(store),
        num_groups=len(np.unique(store.index["group"])),
        num_frames=int(frames.sum()),
        num_tokens=tokens,
        residues=(int(residues.min()), int(residues.max())),
        ids_used=len(shares),
        num_clusters=len(counts),
        entropy_bits=float(-(shares * np.log2(shares)).sum()),
        persistence_accuracy=accuracy,
        frames_per_s=sum(part.num_frames for part in new) / elapsed_s if new else float("nan"),
        tokens_per_s=sum(part.num_frames * part.num_residues for part in new) / elapsed_s if new else float("nan"),
        tokens_per_s_core=tokens / encode_s if encode_s > 0 else float("nan"),
        warnings=tuple(find_warnings(store, parts, accuracy)),
        skipped=skipped,
        sha256={part.name: part.sha256[name] for part in parts},
    )


def _count(store: TrajectoryStore) -> tuple[np.ndarray, int, int]:
    """How often each class occurs, how many pairs of successive IDs are the same, and how many pairs there are."""
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


def training_command(directory: Path, store: TrajectoryStore) -> str:
    """A command that trains on the store in this directory, with its own split, else one by group or by time."""
    num_groups = len(np.unique(store.index["group"]))
    bindings = [
        f"TrajectoryWindows.store={directory}",
        "TrajectoryWindows.trajectories=None",
        f"NUM_CLUSTERS={store.vocabulary.num_clusters}",
        # an embedding of the residue index has a meaning within one protein only
        f"NUM_RESIDUES={int(store.index['num_residues'].max()) if num_groups == 1 else 0}",
    ]
    if store.keeps_split:
        bindings += ["TrajectoryWindows.split=@splits.Stored()", f"Stored.store={directory}"]
    elif num_groups >= _MIN_GROUPS_TO_SPLIT:
        bindings.append("TrajectoryWindows.split=@splits.ByGroup()")
    bindings.append(f"run.directory=runs/{store.vocabulary.name}")
    return " ".join(["emprot-run --gin_file=base.gin", *map(shlex.quote, bindings)])

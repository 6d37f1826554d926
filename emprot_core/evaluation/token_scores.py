"""The NLL of every target and forecaster, as the file scores-<split>.npz keeps it, and the sums that intervals need."""

from collections import defaultdict
from collections.abc import Mapping

import numpy as np

from emprot_core.batch import Batch, group_id
from emprot_core.contracts import Data, Split
from emprot_core.distributed import gather
from emprot_core.evaluation.intervals import Sums
from emprot_core.evaluation.scored_windows import names_and_frames, target_hashes, windows_digest

SCORE_VERSION = 1
"""Raised by every change of the scoring code that moves a figure. Figures of unlike versions are never compared."""

MAX_NUMBERS = 50_000_000
"""Up to so many NLL values are kept one by one. Of more, only their sums by frame and by residue are kept."""

MAX_PROTEINS = 1000
"""Up to so many proteins, sums by residue are kept. With more they would take more memory than all the rest."""


class TokenScores:
    """Collects the NLL in bits of the forecasters that give a distribution, batch by batch on each rank.

    Gains are those of `model` over the others. `merge` joins what the ranks collected; only then are the rest of the
    methods meaningful.
    """

    def __init__(self, model: str, max_numbers: int = MAX_NUMBERS):
        self.model = model
        self._max_numbers, self._num_numbers = max_numbers, 0
        self._rows: list[tuple[np.ndarray, ...]] = []  # window_ids, group_ids, counts (B, F), target_hashes
        self._frame_sums: dict[str, list[np.ndarray]] = defaultdict(list)  # (B, F) by forecaster
        self._proteins: set[int] = set()
        self._residues: dict[tuple[int, str], np.ndarray] = {}  # (F, N) by protein and forecaster; "" has the counts
        self._squares: dict[tuple[int, str], np.ndarray] = {}  # (F,) of the gain over each baseline
        self._tokens: dict[str, list[np.ndarray]] | None = defaultdict(list)  # (B, F, N) float32, NaN without a target

    def add(self, batch: Batch, mask: np.ndarray, nll_bits: Mapping[str, np.ndarray]) -> None:
        """Add a batch: the target mask (B, F, N), and the NLL (B, F, N) of each forecaster."""
        groups = batch["group_ids"].numpy() if "group_ids" in batch else np.zeros(len(mask), np.int64)
        windows = batch["window_ids"].numpy() if "window_ids" in batch else np.arange(len(mask)) + self._num_windows
        self._rows.append((windows, groups, mask.sum(axis=2), target_hashes(batch, mask)))
        for name, bits in nll_bits.items():
            self._frame_sums[name].append(np.where(mask, bits, 0.0).sum(axis=2))
        self._proteins.update(groups.tolist())
        if len(self._proteins) > MAX_PROTEINS:
            self._residues, self._squares = {}, {}
        for group in np.unique(groups).tolist() if len(self._proteins) <= MAX_PROTEINS else ():
            rows = groups == group
            self._add_residues((group, ""), mask[rows].astype(np.float64))
            for name, bits in nll_bits.items():
                self._add_residues((group, name), np.where(mask[rows], bits[rows], 0.0))
                if self.model in nll_bits and name != self.model:
                    gain = np.where(mask[rows], bits[rows] - nll_bits[self.model][rows], 0.0)
                    self._squares[group, name] = self._squares.get((group, name), 0.0) + (gain**2).sum(axis=(0, 2))
        self._keep_tokens(mask, nll_bits)

    @property
    def _num_windows(self) -> int:
        return sum(len(row[0]) for row in self._rows)

    def _add_residues(self, key: tuple[int, str], values: np.ndarray) -> None:
        self._residues[key] = _padded_sum(self._residues.get(key), values.sum(axis=0))

    def _keep_tokens(self, mask: np.ndarray, nll_bits: Mapping[str, np.ndarray]) -> None:
        self._num_numbers += mask.size * len(nll_bits)
        if self._num_numbers > self._max_numbers:
            self._tokens = None
        if self._tokens is not None:
            for name, bits in nll_bits.items():
                self._tokens[name].append(np.where(mask, bits, np.nan).astype(np.float32))

    def merge(self) -> None:
        """Join what all ranks collected, in the order of the windows. All ranks must call it."""
        if sum(gather(self._num_numbers)) > self._max_numbers:
            self._tokens = None  # before they travel
        parts = gather(self.__dict__)
        nothing = (np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros((0, 0), np.int64), np.zeros(0, np.int64))
        rows = [row for part in parts for row in part["_rows"]] or [nothing]
        windows, *columns = (np.concatenate(column) for column in zip(*rows, strict=True))
        order = np.argsort(windows, kind="stable")
        self.windows = windows[order]
        self.groups, self.counts, self._hashes = (column[order] for column in columns)
        self.names = max((list(part["_frame_sums"]) for part in parts), key=len)  # a rank may have no window
        self.groups_found, self._group = np.unique(self.groups, return_inverse=True)
        proteins = set().union(*(part["_proteins"] for part in parts))
        frames = {name: [each for part in parts for each in part["_frame_sums"][name]] for name in self.names}
        self.frame_sums = {name: np.concatenate(frames[name])[order] for name in self.names}
        self.residues: dict[tuple[int, str], np.ndarray] = {}
        self.squares: dict[tuple[int, str], np.ndarray] = {}
        for part in parts if len(proteins) <= MAX_PROTEINS else ():
            for key, sums in part["_residues"].items():
                self.residues[key] = _padded_sum(self.residues.get(key), sums)
            for key, sums in part["_squares"].items():
                self.squares[key] = self.squares.get(key, 0.0) + sums
        kept = [part["_tokens"] for part in parts]
        self.tokens: dict[str, list[np.ndarray]] | None = None  # (F, N) of each window
        if None not in kept:
            in_order = {name: [row for part in kept for batch in part[name] for row in batch] for name in self.names}
            self.tokens = {name: [rows[place] for place in order.tolist()] for name, rows in in_order.items()}

    def mean_gains(self, baseline: str) -> np.ndarray:
        """(proteins, F) the mean NLL(baseline) - NLL(model) of each protein of groups_found; NaN where it has none."""
        shape = (len(self.groups_found), self.counts.shape[1])
        sums, counts = np.zeros(shape), np.zeros(shape)
        np.add.at(sums, self._group, self.frame_sums[baseline] - self.frame_sums[self.model])
        np.add.at(counts, self._group, self.counts)
        return np.where(counts > 0, sums / np.maximum(counts, 1), np.nan)

    def gains(self, baseline: str, group: int) -> list[Sums]:
        """The sums of NLL(baseline) - NLL(model) of one protein, for each horizon."""
        rows = self.groups == group
        by_frame = self.frame_sums[baseline][rows] - self.frame_sums[self.model][rows]
        by_residue = self.residues[group, baseline] - self.residues[group, self.model]
        counts, squares = self.residues[group, ""], self.squares[group, baseline]
        return [
            Sums(by_frame[:, h], self.counts[rows, h], by_residue[h], counts[h], float(squares[h]))
            for h in range(by_frame.shape[1])
        ]

    def digest(self, data: Data, split: Split) -> str:
        """The digest of the windows that have a target: that of scored_windows."""
        counted = self.counts.any(axis=1)
        names, last_frames = names_and_frames(data, split, self.windows[counted])
        return windows_digest(names, last_frames, self._hashes[counted])

    def arrays(self, data: Data, split: Split) -> dict[str, np.ndarray]:
        """What scores-<split>.npz holds; its axes are forecaster, target frame, residue and horizon.

        forecasters, trajectories, groups: names. Of trajectory i: frames_<i> (T,), the target frames, and
        nll_bits_<i> (M, T, N, F) float32, NaN where nothing was scored. Of more than 50 million numbers, instead of the
        latter: frame_sums_<i> (M, T, F) and frame_counts_<i> (T, F), and of group j, up to 1,000 groups,
        residue_sums_<j> (M, N, F) and residue_counts_<j> (N, F). score_version; whole: whether each number is there;
        windows_digest: a hash of the windows and their targets.
        """
        contents = data.split_contents(split)
        arrays = {
            "score_version": np.array(SCORE_VERSION),
            "windows_digest": np.array(self.digest(data, split)),
            "whole": np.array(self.tokens is not None),
            "forecasters": np.array(self.names),
            "trajectories": np.array([each.trajectory for each in contents]),
            "groups": np.array([each.group for each in contents]),
        }
        trajectory, last_frame = data.places(split, self.windows)
        order = np.argsort(trajectory, kind="stable")
        found, starts = np.unique(trajectory[order], return_index=True)
        for i, rows in zip(found.tolist(), np.split(order, starts[1:]), strict=True):
            arrays |= self._of_trajectory(i, rows, last_frame[rows])
        if self.tokens is None:
            for j, group in enumerate(dict.fromkeys(each.group for each in contents)):
                if (group_id(group), "") in self.residues:
                    sums = [self.residues[group_id(group), name].T for name in self.names]
                    arrays[f"residue_sums_{j}"] = np.stack(sums)
                    arrays[f"residue_counts_{j}"] = self.residues[group_id(group), ""].T
        return arrays

    def _of_trajectory(self, i: int, rows: np.ndarray, last_frame: np.ndarray) -> dict[str, np.ndarray]:
        counts = self.counts[rows]
        steps = np.arange(counts.shape[1])
        targets = last_frame[:, None] + 1 + steps
        frames = np.unique(targets[counts > 0])
        at = np.where(counts > 0, np.searchsorted(frames, targets), len(frames))  # one place more, which is cut off
        found: dict[str, np.ndarray] = {f"frames_{i}": frames}
        if self.tokens is not None:
            chosen = [[self.tokens[name][row] for row in rows.tolist()] for name in self.names]
            found[f"nll_bits_{i}"] = np.stack([_by_frame(windows, at, len(frames)) for windows in chosen])
            return found
        sums = np.zeros((len(self.names), len(frames) + 1, len(steps)))
        frame_counts = np.zeros((len(frames) + 1, len(steps)))
        frame_counts[at, steps] = counts
        for values, name in zip(sums, self.names, strict=True):
            values[at, steps] = self.frame_sums[name][rows]
        return {**found, f"frame_sums_{i}": sums[:, :-1], f"frame_counts_{i}": frame_counts[:-1]}


def _by_frame(windows: list[np.ndarray], at: np.ndarray, num_frames: int) -> np.ndarray:
    """(T, N, F): the NLL of windows (F, N) by target frame; `at`: the place of each window's targets, T for none."""
    num_residues = max(window.shape[1] for window in windows)
    values = np.full((num_frames + 1, num_residues, at.shape[1]), np.nan, np.float32)
    for places, window in zip(at, windows, strict=True):  # of a batch of unlike proteins, some of it is padding
        values[places, : window.shape[1], np.arange(len(places))] = window
    return values[:-1]


def _padded_sum(sums: np.ndarray | None, more: np.ndarray) -> np.ndarray:
    """The sum of two arrays (F, N), of which one may have fewer residues."""
    if sums is None:
        return more
    longer, shorter = (sums, more) if sums.shape[1] >= more.shape[1] else (more, sums)
    total = longer.copy()
    total[:, : shorter.shape[1]] += shorter
    return total

"""Windows of the trajectories in one or several stores, divided by a split."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import get_args

import numpy as np
import torch
from torch import Tensor

from emprot_core.conformance.data import spans_of
from emprot_core.contracts import DataSplit, SampledWindows, Split, StorePlace, TrajectoryFrames, Transitions
from emprot_core.data.joined_stores import JoinedStores
from emprot_core.data.loader import WindowLoader
from emprot_core.data.windows import Windows
from emprot_core.errors import EmprotError
from emprot_core.registry import register

from .no_windows import explain_no_windows
from .sampled_frames import read_spans, sample_frames
from .shuffled_stores import open_in_order
from .training_parts import GatherWithParts, TrainingParts
from .trajectory_names import among_all, choose, weigh
from .transition_counts import count_transitions


@register("data")
class TrajectoryWindows:
    """Windows of `history` frames and the `horizon` frames after them, from one trajectory store or several.

    A batch has T = past + history frames of input. Those before the trajectory begins are masked. In training and
    validation it says which part of the training its windows come from (left_out), so that a model leaves it out of
    the transitions that it counted.

    Several stores must have the same vocabulary; their trajectories are called <store>/<name> (data.joined_stores),
    and their groups keep their names. An epoch of training takes each training window as often as the weight of its
    trajectory says, so it has round(sum of the weights) windows. Validation, test, class_counts and the fitting of
    baselines take each window once, whatever its weight, because they describe the data as they are.
    """

    def __init__(
        self,
        store: str | Sequence[str],
        history: int,
        horizon: int,
        split: DataSplit,
        past: int = 0,
        partial_history: bool = False,
        stride: int = 1,
        batch_size: int = 4,
        eval_batch_size: int | None = None,
        trajectories: Sequence[str] | None = None,
        weights: Mapping[str, float] | None = None,
        verify: bool = False,
        shuffle_frames: int | None = None,
        max_fit_windows: int | None = 4_000,
        max_eval_windows: int | None = 2_000,
        sample_seed: int = 0,
    ):
        """
        Args:
            store: path of a store, its address (s3://bucket/store; extra `remote`) or `sample:<vocabulary>`; or a list.
            history: K, frames that a window needs to have.
            horizon: F, frames to predict.
            partial_history: take windows with fewer than K frames of history as well. Missing frames are masked.
            past: further frames that a batch holds before the K, as far as the trajectory has them.
            split: which frames may be targets of training, validation and test.
            stride: frames between successive windows.
            batch_size: windows of a micro-batch in training.
            eval_batch_size: windows of a batch in validation and test; None means batch_size.
            trajectories: names, or patterns such as "*_R1", of the trajectories to use; None takes all.
            weights: how often an epoch of training takes the windows of a trajectory, by name or pattern, as in
                {"*": 0.5, "apo_*": 2.0}; the last entry that matches counts, and the weight is 1 if none does.
            verify: check every ID, and the SHA-256 of the store's files even if they were checked before.
            shuffle_frames: a seed puts the frames of each trajectory into random order, as a control in which there is
                nothing to learn about the dynamics. Each trajectory in use is then held in memory.
            max_fit_windows: baselines are fitted on so many windows of a larger training split, spread evenly over it,
                and classes and transitions counted in 4 frames for each of them. None takes all.
            max_eval_windows: windows of a larger validation or test split that are scored, spread evenly over it; None
                takes all. result.json says of how many.
            sample_seed: seed of both choices.

        Raises:
            StoreError: a store is missing or damaged, or the stores have different vocabularies.
            EmprotError: a size is below 1, a seed below 0, a name matches no trajectory, a weight is negative, or the
                split does not fit the store.
        """
        self._given = [str(each) for each in ([store] if isinstance(store, str | Path) else store)]
        self.store = open_in_order(self._given, verify, shuffle_frames)
        self.vocabulary, self.digest = self.store.vocabulary, self.store.digest
        if past < 0:
            raise EmprotError(f"past is {past}, expected 0 or more frames")
        self.past, self.batch_size, self.eval_batch_size = past, batch_size, eval_batch_size
        names, frames = self.store.index["name"], self.store.index["num_frames"]
        chosen = choose(names, trajectories)
        index = self.store.index[chosen] if trajectories is not None else self.store.index
        self._num_frames = index["num_frames"]
        self.max_residues = int(index["num_residues"].max())
        drawn, sample = None if weights is None else weigh(names, weights), (max_fit_windows, sample_seed)
        spans = spans_of(split, index)
        self._windows: dict[str, Windows] = {}
        for name in get_args(Split):
            rows = among_all(spans[name], chosen)
            weight = drawn[rows["trajectory"]] if drawn is not None and name == "train" else None
            windows = Windows(rows, frames, history, horizon, stride, weight, partial_history)
            self._windows[name] = windows if name == "train" else windows.sample(max_eval_windows, sample_seed)
        self._fitted, self._sample = self._windows["train"].sample(*sample), sample
        self._parts = TrainingParts(self.store.index, self._windows["train"].spans)

    def num_windows(self, split: Split) -> int:
        """The number of windows of a split, over all ranks."""
        return len(self._windows[split])

    def loader(self, split: Split, seed: int = 0) -> WindowLoader:
        """The batches of a split; `seed` fixes the order of its epochs.

        Raises:
            EmprotError: the split has no windows.
        """
        windows = self._windows[split]
        if not len(windows):
            raise EmprotError(explain_no_windows(split, windows, self.store.index["name"], self._num_frames))
        if not windows.epoch_size:
            raise EmprotError(
                f"the weights of the {len(windows)} training windows add up to less than a half, expected a window an "
                "epoch or more; raise TrajectoryWindows.weights"
            )
        return WindowLoader(self._gather(split, windows), self.batch_size, seed, self.eval_batch_size)

    def _gather(self, split: Split, windows: Windows) -> GatherWithParts:
        return GatherWithParts(self.store, windows, self.past, None if split == "test" else self._parts)

    def all_windows(self, split: Split) -> WindowLoader:
        """Every window of a split once, in order and the same on every rank; baselines are fitted on these.

        Of a large split these are a sample.

        Raises:
            EmprotError: the split has no windows.
        """
        loader = self.loader(split)
        if split == "train":
            loader = WindowLoader(self._gather(split, self._fitted), self.batch_size, 0, self.eval_batch_size)
        return loader.unsharded()

    def sampled(self) -> dict[str, SampledWindows]:
        """The splits of which a part of the windows is scored or, of training, is what baselines are fitted on."""
        used = {**self._windows, "train": self._fitted}
        sizes = {name: SampledWindows(len(w), w.num_in_all) for name, w in used.items()}
        return {name: size for name, size in sizes.items() if size.windows < size.of}

    def split_contents(self, split: Split) -> list[TrajectoryFrames]:
        """The trajectories that have targets in a split, in the order of the store."""
        spans = self._windows[split].target_spans()
        rows, which = np.unique(spans["trajectory"], return_inverse=True)
        frames = np.bincount(which, spans["stop"] - spans["start"], minlength=len(rows)).astype(int)
        index = self.store.index[rows]
        columns = (index["name"].tolist(), index["group"].tolist(), frames.tolist())
        return [TrajectoryFrames(*row) for row in zip(*columns, strict=True)]

    def places(self, split: Split, window_ids: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(B,) the trajectory of windows (B,), by its place in split_contents, and (B,) their last input frame."""
        windows = self._windows[split]
        located = windows.locate(window_ids)
        return np.searchsorted(np.unique(windows.target_spans()["trajectory"]), located.trajectory), located.last_frame

    def class_counts(self) -> Tensor:
        """(C,) long: how often each class occurs in the frames of the training split that can be targets."""
        counts = np.zeros(self.vocabulary.num_clusters, np.int64)
        for *_, ids in read_spans(self.store, self._counted_frames(self._windows["train"].target_spans())):
            counts += np.bincount(ids[ids >= 0], minlength=len(counts))
        return torch.from_numpy(counts)

    def places_of_stores(self) -> list[StorePlace]:
        """Where each store lies, as the config names it and on the disk."""
        stores = self.store.stores if isinstance(self.store, JoinedStores) else (self.store,)
        pairs = zip(self._given, stores, strict=True)
        return [StorePlace(name, each.directory, each.digest, each.vocabulary_digest) for name, each in pairs]

    def vocabulary_array(self, name: str) -> np.ndarray | None:
        """An array kept with the vocabulary, such as `centroids` (C, features); None if there is none."""
        return self.store.array(name) if f"{name}.npy" in self.store.vocabulary_arrays else None

    def transitions(self, max_lag: int) -> Transitions:
        """How often one ID follows another in the frames of the training split (contracts.Transitions).

        A part is a protein or, if the training has a single one, a fifth of its time.
        """
        return count_transitions(self.store, self._counted_frames(self._windows["train"].spans), self._parts, max_lag)

    def _counted_frames(self, spans: np.ndarray) -> np.ndarray:
        return sample_frames(spans, *self._sample)

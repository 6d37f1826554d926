"""What the baselines with a distribution share: counts of training, a mixture for each horizon, and their state."""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from emprot_core.batch import Batch
from emprot_core.contracts import Prediction
from emprot_core.errors import EmprotError

from .mixture import Mixture, em_weights
from .positions import Positions, all_positions, count_keys, counted_positions
from .sites import Sites
from .tally import Counts

_MAX_COUNTS = 1 << 20
"""Of a horizon with more counts than this, weights are fitted on a random part of the positions: memory is bounded, and
a dozen weights gain nothing from more."""


class Counted(ABC):
    """A baseline whose tables are built from how often each key of a position occurs in training.

    The keys and their counts are all that it keeps of training, besides the weights.
    """

    name: str
    same_protein = False
    always_shown = False
    window: int | None = None  # how many of the last frames of a batch it reads; None reads all

    def fit(self, train: Iterable[Batch], validation: Iterable[Batch], num_clusters: int) -> None:
        self._num_clusters, self._sites = num_clusters, Sites()
        self._counted = count_keys(train, self._key, self.window)
        self._mixtures = [self._mixture(counted) for counted in self._counted]

    def predict(self, batch: Batch) -> Prediction:
        shape = tuple(batch["future_cluster_ids"].shape)
        predicted, nll = np.zeros(shape, np.int64), np.zeros(shape)
        for at in counted_positions(batch, self.window):
            mixture, place = self._at_horizon(at.horizon), (at.window, at.horizon - 1, at.residue)
            predicted[place] = mixture.best(at)
            nll[place] = -np.log(mixture.of(at, at.target))
        return Prediction(predicted, nll)

    def probabilities(self, batch: Batch, horizon: int) -> np.ndarray:
        """(B, N, C) float64; see GivesProbabilities."""
        num_windows, _, num_residues = batch["input_cluster_ids"].shape
        every_class = self._at_horizon(horizon).probabilities(all_positions(batch, horizon, self.window))
        return every_class.reshape(num_windows, num_residues, self._num_clusters)

    def state_dict(self) -> dict[str, np.ndarray]:
        """The counts and weights of each horizon h as keys_<h>, counts_<h>, weights_<h>, and the proteins seen."""
        state = {"num_clusters": np.array(self._num_clusters), "groups": self._sites.groups}
        for step, (counted, mixture) in enumerate(zip(self._counted, self._mixtures, strict=True), start=1):
            state[f"keys_{step}"], state[f"counts_{step}"] = counted
            state[f"weights_{step}"] = mixture.weights
        return state

    def load_state_dict(self, state: Mapping[str, np.ndarray]) -> None:
        self._num_clusters, self._sites = int(state["num_clusters"]), Sites(state["groups"])
        steps = range(1, 1 + sum(name.startswith("keys_") for name in state))
        self._counted = [Counts(state[f"keys_{step}"], state[f"counts_{step}"]) for step in steps]
        self._mixtures = [self._mixture(counted) for counted in self._counted]
        for step, mixture in zip(steps, self._mixtures, strict=True):
            mixture.weights = state[f"weights_{step}"]

    @abstractmethod
    def _key(self, at: Positions) -> np.ndarray:
        """The keys of positions in training: int64, 0 or more, one or several for each position."""

    @abstractmethod
    def _mixture(self, counted: Counts) -> Mixture:
        """The mixture of one horizon, from the counts of its keys."""

    def _at_horizon(self, horizon: int) -> Mixture:
        if not 1 <= horizon <= len(self._mixtures):
            raise EmprotError(
                f"{self.name} has no forecast at horizon {horizon}, expected 1 to {len(self._mixtures)}; "
                "fit it on batches with as many future steps"
            )
        return self._mixtures[horizon - 1]


class Weighted(Counted):
    """A counted baseline of several parts, with weights by EM on the training windows."""

    em_steps = 60
    left_out = 0  # how often a training target is taken out of its own tables
    dtype: type[np.floating[Any]] = np.float64  # of the parts' probabilities while the weights are fitted

    def fit(self, train: Iterable[Batch], validation: Iterable[Batch], num_clusters: int) -> None:
        super().fit(train, validation, num_clusters)
        shares = [_MAX_COUNTS / max(_MAX_COUNTS, counted.counts.sum()) for counted in self._counted]
        observed = [[np.zeros((mixture.num_parts, 0), self.dtype)] for mixture in self._mixtures]
        generator = np.random.default_rng(0)
        for batch in self._observed(train, validation):
            for at in counted_positions(batch, self.window):
                step = at.horizon - 1
                drawn = at.chosen(generator.random(len(at.target)) < shares[step])
                parts = self._mixtures[step].parts_of(drawn, drawn.target, self.left_out)
                observed[step].append(parts.astype(self.dtype))
        for mixture, columns in zip(self._mixtures, observed, strict=True):
            mixture.weights = em_weights(np.concatenate(columns, axis=1), self.em_steps)

    def _observed(self, train: Iterable[Batch], validation: Iterable[Batch]) -> Iterable[Batch]:
        """The windows whose targets the weights are fitted to."""
        return train

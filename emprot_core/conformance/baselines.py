"""Checks of baselines and scores, on copies that see one batch."""

import copy
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import torch

from emprot_core.batch import Batch, target_mask
from emprot_core.breach import broken, check_attribute, check_method
from emprot_core.contracts import Baseline, GivesProbabilities, SavedBaseline, Score, UsesData
from emprot_core.errors import EmprotError

_TOLERANCE = 1e-3
_NUMBERS_AT_ONCE = 1 << 24  # probabilities that a score is tried on


def check_names(forecasters: Iterable[Any]) -> None:
    """
    Raises:
        ContractBroken: one has no name.
    """
    for each in forecasters:
        check_attribute(each, "name", "a str", lambda value: isinstance(value, str))


def check_baselines(baselines: Sequence[Baseline], batch: Batch, num_clusters: int) -> None:
    """Fit a copy of each baseline on one batch and let it forecast the same batch.

    A baseline that refuses so few windows is left out: the real fit tells more.

    Raises:
        ContractBroken: a method is missing, or a forecast has another shape, or is no distribution.
    """
    for baseline in baselines:
        check_method(baseline, "fit", "train", "validation", "num_clusters")
        check_method(baseline, "predict", "batch")
        own = copy.deepcopy(baseline)
        try:
            own.fit([batch], [batch], num_clusters)
        except EmprotError:
            continue
        _check_prediction(own, batch, num_clusters)
        if isinstance(own, SavedBaseline):
            _check_state(own.state_dict(), own)


def check_scores(scores: Sequence[Score], batch: Batch, num_clusters: int) -> None:
    """Let a copy of each score judge one window. Those that need the data too are left out.

    Raises:
        ContractBroken: a method is missing, or the values are no lists of one entry for each future step.
    """
    horizon, num_residues = batch["future_cluster_ids"].shape[1:]
    for score in scores:
        check_method(score, "start", "num_clusters", "horizon")
        check_method(score, "add", "probabilities", "batch")
        check_method(score, "result")
        if isinstance(score, UsesData) or horizon * num_residues * num_clusters > _NUMBERS_AT_ONCE:
            continue
        own = copy.deepcopy(score)
        window: Any = {key: value[:1] for key, value in batch.items() if isinstance(value, torch.Tensor)}
        own.start(num_clusters, horizon)
        own.add(torch.full((1, horizon, num_residues, num_clusters), 1 / num_clusters), window)
        values = own.result()
        wanted = f"result() to give lists of {horizon} values by name, one for each future step"
        if not isinstance(values, dict):
            raise broken(score, wanted, values, "return a dict")
        for name, each in values.items():
            if not isinstance(each, list) or len(each) != horizon:
                got = f"{len(each)} values" if isinstance(each, list) else f"a {type(each).__name__}"
                raise broken(score, wanted, f"{got} for {name!r}", "use None where nothing was counted")


def _check_prediction(baseline: Baseline, batch: Batch, num_clusters: int) -> None:
    mask = target_mask(batch).numpy()
    given = baseline.predict(batch)
    if not isinstance(given, tuple) or len(given) != 2:
        change = "return emprot_core.contracts.Prediction"
        raise broken(baseline, "predict to give Prediction(predicted, nll_nats)", given, change)
    predicted, nll = given
    _check_array(baseline, "predicted", predicted, mask.shape, "iu", "(B, F, N)")
    if (wrong := predicted[mask][(predicted[mask] < 0) | (predicted[mask] >= num_clusters)]).size:
        wanted = f"predicted to be classes, 0 to {num_clusters - 1}"
        raise broken(baseline, wanted, f"{wrong[0]}", "give a class where a target counts")
    if nll is not None:
        _check_array(baseline, "nll_nats", nll, mask.shape, "f", "(B, F, N)")
        if not (nll[mask] >= -_TOLERANCE).all():  # NaN too
            wrong = nll[mask][~(nll[mask] >= -_TOLERANCE)]
            change = "give -log of the probability of the target"
            raise broken(baseline, "nll_nats to be 0 or more where a target counts", f"{wrong[0]}", change)
    if isinstance(baseline, GivesProbabilities):
        for horizon in range(1, mask.shape[1] + 1):
            _check_probabilities(baseline, batch, horizon, num_clusters, nll)


def _check_probabilities(baseline: Any, batch: Batch, horizon: int, num_clusters: int, nll: np.ndarray | None) -> None:
    given = baseline.probabilities(batch, horizon)
    targets = batch["future_cluster_ids"][:, horizon - 1].numpy()
    _check_array(baseline, "probabilities", given, (*targets.shape, num_clusters), "f", "(B, N, C)")
    sums = given.sum(axis=-1)
    if not (given >= 0).all() or np.abs(sums - 1).max() > _TOLERANCE:
        got = f"a row of sum {sums.flat[np.abs(sums - 1).argmax()]:.4g} and least value {given.min():.4g}"
        change = "divide each row by its sum, in padding too"
        raise broken(baseline, "probabilities of 0 or more that sum to 1 in each row", got, change)
    mask = target_mask(batch)[:, horizon - 1].numpy()
    if nll is None or not mask.any():
        return
    chosen = np.take_along_axis(given, targets.clip(0)[..., None], axis=-1)[..., 0][mask].astype(np.float64)
    with np.errstate(divide="ignore"):
        difference = np.abs(np.exp(-nll[:, horizon - 1][mask].astype(np.float64)) - chosen).max()
    if difference > _TOLERANCE:
        got = f"probabilities that differ by {difference:.2g} at horizon {horizon}"
        raise broken(baseline, "exp(-nll_nats) to be the probability of the target", got, "make both of one table")


def _check_array(baseline: Any, name: str, value: Any, shape: tuple[int, ...], kinds: str, axes: str) -> None:
    if not isinstance(value, np.ndarray) or value.shape != shape:
        change = f"give an array of shape {axes}, where B windows, F future steps, N residues, C classes"
        raise broken(baseline, f"{name} of shape {axes} = {shape}", value, change)
    if value.dtype.kind not in kinds:
        wanted = "integers" if "i" in kinds else "floating-point numbers"
        raise broken(baseline, f"{name} to hold {wanted}", value, "convert it with .astype")


def _check_state(state: Any, baseline: Any) -> None:
    wanted = "state_dict() to give arrays of numbers by name"
    if not isinstance(state, Mapping):
        raise broken(baseline, wanted, state, "return a dict of NumPy arrays")
    for name, value in state.items():
        if not isinstance(value, np.ndarray) or value.dtype.kind not in "biufU":
            raise broken(baseline, wanted, f"{name!r}: {type(value).__name__}", "convert it with np.asarray")

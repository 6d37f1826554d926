"""The difference between two models on the same test windows, from what scores-test.npz keeps. It needs no torch."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from emprot_core.evaluation.intervals import (
    MANY_PROTEINS,
    NO_VARIANCE,
    Interval,
    Sums,
    Variance,
    ends,
    over_proteins,
    two_way,
    word_for,
)

MODEL = "model"


class ProteinScores(NamedTuple):
    """The NLL of a model on the T target frames and N residues of a protein, in bits; sums and counts of tokens."""

    by_frame: np.ndarray  # (T, F)
    frame_counts: np.ndarray  # (T, F)
    by_residue: np.ndarray  # (N, F); empty if there are more than 1,000 proteins
    residue_counts: np.ndarray  # (N, F)
    tokens: tuple[np.ndarray, ...]  # (T, N, F) of each trajectory, NaN without a target; empty if only sums were kept


class ModelScores(NamedTuple):
    """What a run's scores-test.npz says about its model, or about a baseline."""

    windows_digest: str
    score_version: int
    proteins: dict[str, ProteinScores]


def read_model_scores(path: Path, forecaster: str = MODEL) -> ModelScores:
    """
    Args:
        forecaster: the model, or the name of a baseline that was scored beside it.

    Raises:
        KeyError: the file was written by an older version.
        OSError, ValueError: it cannot be read.
    """
    with np.load(path, allow_pickle=False) as file:
        arrays = {name: file[name] for name in file}
    model = arrays["forecasters"].tolist().index(forecaster)
    groups = arrays["groups"].tolist()
    proteins = {}
    for j, group in enumerate(dict.fromkeys(groups)):
        rows = [i for i, other in enumerate(groups) if other == group and f"frames_{i}" in arrays]
        if rows and bool(arrays["whole"]):
            proteins[group] = _from_tokens([arrays[f"nll_bits_{i}"][model].astype(np.float64) for i in rows])
        elif rows:
            proteins[group] = _from_sums(arrays, rows, j, model)
    return ModelScores(str(arrays["windows_digest"]), int(arrays["score_version"]), proteins)


def difference(reference: Sequence[ModelScores], other: Sequence[ModelScores], is_paired: bool) -> dict[str, Any]:
    """NLL(reference) - NLL(other) in bits, above 0 where the other is better, with its 95 % interval.

    Each side is one recipe with one or several seeds. The gain is that between the means over the seeds. With two or
    more seeds the variance of the gain over the seeds is added to that over frames and residues.

    Args:
        is_paired: whether the seeds of both sides are the same, in the same order.

    Returns:
        bits, low, high [F], verdict and verdict_by_horizon; with two to five proteins also "proteins" with these of
        each, and no common interval; from six on "num_proteins", and bits are the mean over the proteins.
    """
    names = list(reference[0].proteins)
    gains = {name: _gains([s.proteins[name] for s in reference], [s.proteins[name] for s in other]) for name in names}
    bits = _overall([gains[name] for name in names])
    between_seeds = _between_seeds(reference, other, is_paired)
    found: dict[str, Any] = {"bits": bits}
    if len(names) >= MANY_PROTEINS:
        means = np.array([[sums.mean for sums in gains[name]] for name in names])
        known = [column[~np.isnan(column)] for column in means.T]
        found = {"bits": [float(each.mean()) if len(each) else None for each in known], "num_proteins": len(names)}
        many = [len(each) >= MANY_PROTEINS for each in known]
        pairs = zip(known, between_seeds, many, strict=True)
        intervals = [over_proteins(each, seeds) if enough else None for each, seeds, enough in pairs]
    elif len(names) == 1:
        intervals = _two_way(gains[names[0]], between_seeds)
    else:
        intervals = [None] * len(bits)
        each_protein = {name: ends(_two_way(gains[name], between_seeds)) for name in names}
        found["proteins"] = {name: {"bits": _overall([gains[name]]), **each_protein[name]} for name in names}
    found |= ends(intervals)
    by_horizon = [word_for([low], [high]) for low, high in zip(found["low"], found["high"], strict=True)]
    return {**found, "verdict": word_for(found["low"], found["high"]), "verdict_by_horizon": by_horizon}


def _from_tokens(tokens: Sequence[np.ndarray]) -> ProteinScores:
    num_residues = max(each.shape[1] for each in tokens)
    padded = [np.pad(e, ((0, 0), (0, num_residues - e.shape[1]), (0, 0)), constant_values=np.nan) for e in tokens]
    whole = np.concatenate(padded)
    known = ~np.isnan(whole)
    values = np.where(known, whole, 0.0)
    return ProteinScores(values.sum(1), known.sum(1), values.sum(0), known.sum(0), (whole,))


def _from_sums(arrays: Mapping[str, np.ndarray], rows: Sequence[int], j: int, model: int) -> ProteinScores:
    by_frame = np.concatenate([arrays[f"frame_sums_{i}"][model] for i in rows])
    counts = np.concatenate([arrays[f"frame_counts_{i}"] for i in rows])
    nothing = np.zeros((0, by_frame.shape[1]))
    sums = arrays[f"residue_sums_{j}"][model] if f"residue_sums_{j}" in arrays else nothing
    return ProteinScores(by_frame, counts, sums, arrays.get(f"residue_counts_{j}", nothing), ())


def _gains(reference: Sequence[ProteinScores], other: Sequence[ProteinScores]) -> list[Sums]:
    """The sums of the gain at each horizon. Without single tokens their variance counts as 0: the interval is wider."""
    first = reference[0]
    by_frame = _mean(reference, "by_frame") - _mean(other, "by_frame")
    by_residue = _mean(reference, "by_residue") - _mean(other, "by_residue")
    squares = np.zeros(by_frame.shape[1])
    if all(each.tokens for each in (*reference, *other)):
        own, theirs = (np.mean([each.tokens[0] for each in side], axis=0) for side in (reference, other))
        squares = np.nansum((own - theirs) ** 2, axis=(0, 1))
    return [
        Sums(by_frame[:, h], first.frame_counts[:, h], by_residue[:, h], first.residue_counts[:, h], float(squares[h]))
        for h in range(by_frame.shape[1])
    ]


def _mean(scores: Sequence[ProteinScores], field: str) -> np.ndarray:
    return np.mean([getattr(each, field) for each in scores], axis=0)


def _two_way(gains: Sequence[Sums], between_seeds: Sequence[Variance]) -> list[Interval | None]:
    return [two_way(sums, seeds) for sums, seeds in zip(gains, between_seeds, strict=True)]


def _overall(gains: Sequence[Sequence[Sums]]) -> list[float | None]:
    """The mean gain over all tokens of all proteins, at each horizon."""
    found: list[float | None] = []
    for sums in zip(*gains, strict=True):
        count = sum(each.frame_counts.sum() for each in sums)
        found.append(float(sum(each.by_frame.sum() for each in sums) / count) if count else None)
    return found


def _between_seeds(reference: Sequence[ModelScores], other: Sequence[ModelScores], is_paired: bool) -> list[Variance]:
    """The variance of the mean gain that is due to the seeds, at each horizon."""
    own, theirs = ([_nll(scores) for scores in side] for side in (reference, other))
    if is_paired:
        return _variances([a - b for a, b in zip(own, theirs, strict=True)])
    pairs = zip(_variances(own), _variances(theirs), strict=True)
    return [Variance(a.value + b.value, min(a.degrees, b.degrees)) for a, b in pairs]


def _variances(by_seed: Sequence[np.ndarray]) -> list[Variance]:
    if len(by_seed) < 2:
        return [NO_VARIANCE] * len(by_seed[0])
    values = np.var(by_seed, axis=0, ddof=1) / len(by_seed)
    return [Variance(0.0 if math.isnan(value) else value, len(by_seed) - 1) for value in values.tolist()]


def _nll(scores: ModelScores) -> np.ndarray:
    """(F,) the mean NLL over all tokens; NaN where there is none."""
    sums = sum(each.by_frame.sum(axis=0) for each in scores.proteins.values())
    counts = np.asarray(sum(each.frame_counts.sum(axis=0) for each in scores.proteins.values()))
    return np.where(counts > 0, sums / np.maximum(counts, 1), np.nan)

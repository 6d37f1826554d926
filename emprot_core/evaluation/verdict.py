"""The verdict of a run: the gain of the model over every baseline with its interval, and over the best of them."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from emprot_core.evaluation.intervals import (
    BETTER,
    MANY_PROTEINS,
    UNDECIDED,
    WORSE,
    ends,
    over_proteins,
    two_way,
    word_for,
)
from emprot_core.evaluation.scores import Scores
from emprot_core.evaluation.token_scores import TokenScores


def best_baseline(baselines: Mapping[str, Scores]) -> str | None:
    """The baseline with the lowest mean NLL over the horizons that were scored; None if no baseline has an NLL."""
    means = {}
    for name, scores in baselines.items():
        known = [bits for bits in scores["nll_bits"] or () if bits is not None]
        if known:
            means[name] = sum(known) / len(known)
    return min(means, key=lambda name: means[name]) if means else None


def judge(tokens: TokenScores, scores: Mapping[str, Scores], groups: Mapping[int, str]) -> dict[str, Any]:
    """The gains of the model and the verdict.

    Args:
        tokens: merged.
        scores: by the name of every forecaster, the model among them.
        groups: the name of each protein by its group_id.

    Returns:
        gains: by baseline {"bits": [F], "low": [F], "high": [F]}, NLL(baseline) - NLL(model) in bits. low and high are
            the ends of a 95 % interval, None where there is none: two to five proteins, or fewer than 5 frames. With
            two to five proteins "proteins" holds the same for each of them. From six on, bits and interval are of the
            mean over the proteins, each of which counts once, and "num_proteins" says how many there are.
        best_baseline: the one with the lowest mean NLL, or None.
        verdict, verdict_by_horizon: "better", "worse" or "undecided" than the best baseline.
    """
    baselines = {name: each for name, each in scores.items() if name != tokens.model}
    has_targets = scores[tokens.model]["nll_bits"] is not None
    names = [name for name in tokens.names if name in baselines and has_targets]
    gains = {name: _gain(tokens, name, scores, groups) for name in names}
    best = best_baseline(baselines)
    by_horizon: list[str] = []
    if best in gains:
        by_horizon = [
            word_for([low], [high]) for low, high in zip(gains[best]["low"], gains[best]["high"], strict=True)
        ]
    verdict = word_for(gains[best]["low"], gains[best]["high"]) if best in gains else UNDECIDED
    return {"gains": gains, "best_baseline": best, "verdict": verdict, "verdict_by_horizon": by_horizon}


def verdict_line(test: Mapping[str, Any]) -> str:
    """The verdict in one sentence: the last line of a run."""
    best = test["best_baseline"]
    if best is None:
        return "verdict: none, as no baseline gives a distribution; list some in Train.baselines"
    if test["verdict"] == BETTER:
        return f"verdict: better than {best}, the best baseline, at every horizon"
    if test["verdict"] == WORSE:
        return f"verdict: worse than {best}, the best baseline, at every horizon"
    horizons = enumerate(test["verdict_by_horizon"], 1)
    told = [f"h={h} {verdict}" for h, verdict in horizons if verdict != UNDECIDED]
    details = f" ({', '.join(told)})" if told else ""
    if not any(low is not None for low in test["gains"][best]["low"]):
        details = f": there is no interval, which takes 5 frames of one protein, or {MANY_PROTEINS} proteins"
    return f"verdict: undecided against {best}, the best baseline{details}"


def _gain(
    tokens: TokenScores, baseline: str, scores: Mapping[str, Scores], groups: Mapping[int, str]
) -> dict[str, Any]:
    ours, theirs = scores[tokens.model]["nll_bits"], scores[baseline]["nll_bits"]
    bits: list[float | None] = [None if a is None or b is None else b - a for a, b in zip(ours, theirs, strict=True)]
    gain: dict[str, Any] = {"bits": bits}
    found = tokens.groups_found.tolist()
    if len(found) >= MANY_PROTEINS:
        known = [column[~np.isnan(column)] for column in tokens.mean_gains(baseline).T]
        gain["bits"] = [float(each.mean()) if len(each) else None for each in known]
        gain["num_proteins"] = len(found)
        return gain | ends([over_proteins(each) if len(each) >= MANY_PROTEINS else None for each in known])
    by_group = {groups.get(group, str(group)): tokens.gains(baseline, group) for group in found}
    if len(by_group) == 1:
        (sums,) = by_group.values()
        return gain | ends([two_way(each) for each in sums])
    proteins = {}
    for name, sums in by_group.items():
        bits_there = [None if np.isnan(each.mean) else each.mean for each in sums]
        proteins[name] = {"bits": bits_there, **ends([two_way(each) for each in sums])}
    return gain | ends([None] * len(bits)) | {"proteins": proteins}

"""The NLL of every forecaster protein by protein and residue by residue."""

import csv
import io
from collections.abc import Mapping, Sequence

import numpy as np

from emprot_core.evaluation.token_scores import TokenScores

Values = list[float | None]


def by_group(tokens: TokenScores, groups: Mapping[int, str]) -> dict[str, dict[str, Values]]:
    """By protein and forecaster the NLL in bits [F], the mean over all its targets.

    Args:
        tokens: merged.
        groups: the name of each protein by its group_id.
    """
    found: dict[str, dict[str, Values]] = {}
    for group in tokens.groups_found.tolist():
        rows = tokens.groups == group
        counts = tokens.counts[rows].sum(axis=0)
        found[groups.get(group, str(group))] = {
            name: _means(tokens.frame_sums[name][rows].sum(axis=0), counts) for name in tokens.names
        }
    return found


def by_residue(
    tokens: TokenScores, groups: Mapping[int, str], forecasters: Sequence[str]
) -> dict[str, dict[str, list[Values]]]:
    """By protein and forecaster the NLL in bits [N][F]. Of more than 1,000 proteins there is nothing."""
    return {
        groups.get(group, str(group)): {
            name: [_means(sums, n) for sums, n in zip(tokens.residues[group, name].T, counts.T, strict=True)]
            for name in forecasters
        }
        for (group, kind), counts in tokens.residues.items()
        if kind == ""
    }


def as_csv(tokens: TokenScores, groups: Mapping[int, str]) -> str:
    """The NLL in bits of every forecaster as a table: a line for each protein, residue (from 0 on) and horizon."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["group", "residue", "horizon", "targets", *tokens.names])
    for group, name in ((group, groups.get(group, str(group))) for group, kind in tokens.residues if kind == ""):
        counts = tokens.residues[group, ""]
        sums = np.stack([tokens.residues[group, forecaster] for forecaster in tokens.names])
        for residue in range(counts.shape[1]):
            for step, count in enumerate(counts[:, residue].tolist()):
                means = [f"{value / count:.6f}" if count else "" for value in sums[:, step, residue].tolist()]
                writer.writerow([name, residue, step + 1, int(count), *means])
    return text.getvalue()


def _means(sums: np.ndarray, counts: np.ndarray) -> Values:
    return [float(s / n) if n else None for s, n in zip(sums, counts, strict=True)]

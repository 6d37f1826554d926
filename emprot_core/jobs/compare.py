"""emprot-run --compare: what differs between runs, and by how much their models differ. It needs neither torch nor gin.

Runs that differ in run.seed alone are one group. The first group is the reference of the others.
"""

from collections.abc import Sequence
from pathlib import Path
from statistics import mean, stdev
from typing import Any

from emprot_core.evaluation.comparison import ModelScores, difference, read_model_scores
from emprot_core.jobs.settings import SEED, TOKEN_SCORES, ComparisonRefused, KnownRun, differences, read_run, runs_of

_NAMES = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
_ENOUGH_SEEDS = 3
_NOTE = (
    "Seeds of one recipe differ by up to 0.007 bits. With fewer than three seeds on a side, "
    "a difference below 0.01 is no result."
)


def compare(directories: Sequence[str]) -> dict[str, Any]:
    """The comparison as JSON values: groups, settings, code, data, differences, note.

    Raises:
        ComparisonRefused: a run has no test scores, or the runs were scored on unlike windows, classes or by unlike
            versions of the scores.
    """
    runs = [read_run(directory) for directory in runs_of(directories)]
    scores = {run.directory: _scores_of(run) for run in runs}
    _check_comparable(runs, scores)
    groups: dict[str, list[KnownRun]] = {}
    for run in runs:
        groups.setdefault(run.recipe, []).append(run)
    sides = [sorted(group, key=lambda run: run.seed) for group in groups.values()]
    if len(sides) == 1 and len(runs) > 1 and len({run.seed for run in runs}) == 1:
        sides = [[run] for run in runs]  # the same run twice, or a repeat of it
    names = [_NAMES[i] if i < len(_NAMES) else f"R{i + 1}" for i in range(len(sides))]
    few = any(len(side) < _ENOUGH_SEEDS for side in sides)
    return {
        "groups": [_group(name, side) for name, side in zip(names, sides, strict=True)],
        "settings": [each for each in differences([side[0].settings for side in sides]) if _counts(each, sides)],
        "code": _unlike([side[0].result["code"] for side in sides]),
        "data": _unlike([side[0].result["data_digest"] for side in sides]),
        "differences": [
            {"reference": names[0], "other": name, **_difference(sides[0], side, scores)}
            for name, side in zip(names[1:], sides[1:], strict=True)
        ],
        "note": _NOTE if few and len(sides) > 1 else None,
    }


def _scores_of(run: KnownRun) -> ModelScores:
    path = Path(run.directory) / TOKEN_SCORES
    try:
        return read_model_scores(path)
    except FileNotFoundError as error:
        raise ComparisonRefused(f"{path} is missing; see emprot-run --verify {run.directory}") from error
    except KeyError as error:
        raise ComparisonRefused(f"{path} has no {error}: an older version wrote it; train again") from error
    except (OSError, ValueError) as error:
        raise ComparisonRefused(f"{path} cannot be read ({error}); see emprot-run --verify {run.directory}") from error


def _check_comparable(runs: Sequence[KnownRun], scores: dict[str, ModelScores]) -> None:
    first = runs[0]
    own = scores[first.directory]
    for run in runs[1:]:
        other = scores[run.directory]
        what = ""
        if other.score_version != own.score_version:
            what = f"were scored by versions {own.score_version} and {other.score_version} of the scores; train again"
        elif run.result["vocabulary"] != first.result["vocabulary"]:
            what = f"forecast unlike classes: {first.result['vocabulary']} and {run.result['vocabulary']}"
        elif other.windows_digest != own.windows_digest:
            what = (
                "were scored on other test windows or targets; train them with the same store, split, history and "
                "horizon"
            )
        if what:
            raise ComparisonRefused(f"{first.directory} and {run.directory} {what}")


def _group(name: str, side: Sequence[KnownRun]) -> dict[str, Any]:
    tests = [run.result["test"]["model"] for run in side]
    numbers = {key: _mean_and_sd([test[key] for test in tests]) for key in ("nll_bits", "accuracy")}
    return {"name": name, "runs": [run.directory for run in side], "seeds": [run.seed for run in side], **numbers}


def _mean_and_sd(values: Sequence[Sequence[float | None]]) -> dict[str, Any]:
    """The mean of each horizon over the seeds, and the standard deviation where there are several."""
    columns = [[value for value in column if value is not None] for column in zip(*values, strict=True)]
    return {
        "mean": [mean(column) if column else None for column in columns],
        "sd": [stdev(column) if len(column) > 1 else None for column in columns],
    }


def _counts(setting: dict[str, Any], sides: Sequence[Sequence[KnownRun]]) -> bool:
    """Whether a difference tells the groups apart: a seed does so only between single runs."""
    return setting["name"] != SEED or all(len(side) == 1 for side in sides)


def _unlike(values: Sequence[Any]) -> list[Any] | None:
    return list(values) if any(value != values[0] for value in values) else None


def _difference(
    reference: Sequence[KnownRun], other: Sequence[KnownRun], scores: dict[str, ModelScores]
) -> dict[str, Any]:
    """Paired by seed where both sides have the same seeds."""
    is_paired = [run.seed for run in reference] == [run.seed for run in other]
    own, theirs = ([scores[run.directory] for run in side] for side in (reference, other))
    return {"paired_by_seed": is_paired, **difference(own, theirs, is_paired)}

"""Chooses and weighs trajectories by patterns of their names."""

import difflib
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from fnmatch import translate

import numpy as np

from emprot_core.errors import EmprotError

_NAMES_TO_COMPARE = 10_000
"""How many names are searched for the nearest one; more would take seconds."""


def choose(names: np.ndarray, patterns: Sequence[str] | None) -> np.ndarray:
    """The rows (int) whose name equals or matches any of the patterns, in store order; all rows if None.

    Raises:
        EmprotError: a pattern matches no name, or patterns is empty or a string.
    """
    if patterns is None:
        return np.arange(len(names))
    if isinstance(patterns, str):
        raise EmprotError(f"trajectories is the string {patterns!r}, expected a list of names: [{patterns!r}]")
    if not patterns:
        raise EmprotError("trajectories is an empty list; name some, or leave it out to take all")
    return np.unique(np.concatenate(list(_match(names, patterns, "trajectories").values())))


def among_all(spans: np.ndarray, chosen: np.ndarray) -> np.ndarray:
    """Spans (data.windows.SPAN_DTYPE) of the chosen trajectories, with their rows among all trajectories."""
    rows = np.array(spans)
    rows["trajectory"] = chosen[rows["trajectory"]]
    return rows


def weigh(names: np.ndarray, weights: Mapping[str, float]) -> np.ndarray:
    """(trajectories,) float64: the weight of the last pattern that matches each name, or 1 if none does.

    Raises:
        EmprotError: a pattern matches no name, or a weight is negative or not finite.
    """
    if not isinstance(weights, Mapping):
        raise EmprotError(f"weights are {weights!r}, expected weights by name or pattern, such as {{'apo_*': 2.0}}")
    for pattern, weight in weights.items():
        if isinstance(weight, bool) or not isinstance(weight, int | float) or not 0 <= weight < math.inf:
            raise EmprotError(
                f"the weight of {pattern!r} is {weight!r}, expected a finite number, 0 or more; "
                "correct TrajectoryWindows.weights"
            )
    drawn = np.ones(len(names))
    for pattern, rows in _match(names, weights, "weights").items():
        drawn[rows] = weights[pattern]
    return drawn


def _match(names: np.ndarray, patterns: Iterable[str], option: str) -> dict[str, list[int]]:
    """For each pattern, the rows of the names that equal it or match it as file names match in a shell."""
    listed, rows = names.tolist(), {}
    for pattern in patterns:
        matches = re.compile(translate(pattern)).match
        rows[pattern] = [row for row, name in enumerate(listed) if name == pattern or matches(name)]
    lost = [pattern for pattern in rows if not rows[pattern]]
    if not lost:
        return rows
    near = difflib.get_close_matches(lost[0], listed[:_NAMES_TO_COMPARE], n=1)
    hint = f"did you mean {near[0]!r}? " if near else ""
    shown = ", ".join(listed[:8]) + (", ..." if len(listed) > 8 else "")
    raise EmprotError(
        f"no trajectory matches {', '.join(map(repr, lost))}; {hint}"
        f"the store has {len(names)}: {shown}; correct TrajectoryWindows.{option}"
    )

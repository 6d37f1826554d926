"""What is known of a model once its test split was scored."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np


class CATrace(NamedTuple):
    """The residues (N,) of contracts.RESIDUE_DTYPE, and their CA atoms (N, 3) in Angstrom, NaN where unknown."""

    residues: np.ndarray
    ca: np.ndarray


class SeenWindows(NamedTuple):
    """W windows of the first test trajectory. An ID that changed differs from the last one that was observed.

    The matrices are counts at h = 1 over the M commonest classes of the targets; their last row and column hold all
    others.
    """

    trajectory: str
    last_frame: np.ndarray  # (W,) the last input frame
    change_probability: np.ndarray  # (F, W, N), NaN where the last class is unknown
    changed: np.ndarray  # (F, W, N), 1 or 0, NaN where that is unknown
    nll_bits: np.ndarray  # (F, W, N), NaN where no target is known
    bins: np.ndarray  # (F, 3, bins) sums of the confidence in the likeliest class, of hits, and counts
    classes: np.ndarray  # (M,) IDs, the commonest first
    confusion: np.ndarray  # (M + 1, M + 1) by the class that came and the likeliest class
    transitions: np.ndarray  # (2, M + 1, M + 1) by the last class and the next: what came, and what was expected
    structure: CATrace | None


class Tested(NamedTuple):
    """What the best weights reach on the test split. Without test windows `scores` is None, and the texts are empty."""

    scores: Mapping[str, Any] | None  # the entry "test" of result.json
    table: str
    verdict: str
    look: Callable[[], SeenWindows | None]
    """Forecasts the first test windows anew, on this rank alone."""
    files: dict[str, str]
    """SHA-256 by name of the files in the run directory that will not change any more. A hook adds those it wrote."""

"""What a forecast says about each residue, as means over the windows of a trajectory, and as a table."""

import csv
import io
from collections.abc import Mapping
from typing import Literal, NamedTuple

import numpy as np

Value = Literal["change_probability", "entropy_bits", "surprise_bits", "gain_bits"]
TITLES: dict[Value, str] = {
    "change_probability": "change probability",
    "entropy_bits": "entropy of the forecast, bits",
    "surprise_bits": "surprise of what came (NLL), bits",
    "gain_bits": "gain over the best baseline, bits",
}
_COLUMNS = ("change_probability", "entropy_bits", "surprise_bits", "gain_bits", "change_rate")


class Means(NamedTuple):
    """Of one trajectory, each (F, N), NaN where nothing is known."""

    change_probability: np.ndarray  # 1 - p(the residue's last observed class)
    entropy_bits: np.ndarray
    surprise_bits: np.ndarray  # NLL of what came
    gain_bits: np.ndarray  # over a baseline
    change_rate: np.ndarray  # how often the class that came was another


class ResidueValues:
    """Adds up the values of one trajectory, window by window."""

    def __init__(self, horizon: int, num_residues: int):
        self.num_windows = 0
        self._sums = np.zeros((len(_COLUMNS), horizon, num_residues))
        self._counts = np.zeros((len(_COLUMNS), horizon, num_residues))

    def add(
        self, step: int, probabilities: np.ndarray, last: np.ndarray, target: np.ndarray, bar_bits: np.ndarray | None
    ) -> None:
        """Add a window at horizon step + 1.

        Args:
            probabilities: (N, C).
            last: (N,) the last observed IDs, -1 where there is none.
            target: (N,) what came, -1 where that is unknown or does not count.
            bar_bits: (N,) the NLL of a baseline; None if there is none.
        """
        self.num_windows += step == 0
        rows = np.arange(len(last))
        p = probabilities.astype(np.float64)
        entropy = -np.where(p > 0, p * np.log2(np.where(p > 0, p, 1.0)), 0.0).sum(axis=-1)
        surprise = -np.log2(np.maximum(p[rows, np.maximum(target, 0)], np.finfo(np.float32).tiny))
        gain = np.zeros(len(last)) if bar_bits is None else bar_bits - surprise
        known, came = last >= 0, (last >= 0) & (target >= 0)
        values = (1 - p[rows, np.maximum(last, 0)], entropy, surprise, gain, (target != last).astype(float))
        counted = (known, known, came, came & (bar_bits is not None), came)
        for place, (value, mask) in enumerate(zip(values, counted, strict=True)):
            self._sums[place, step] += np.where(mask, value, 0.0)
            self._counts[place, step] += mask

    def means(self) -> Means:
        """The means over the windows."""
        with np.errstate(invalid="ignore"):
            return Means(*(self._sums / np.where(self._counts > 0, self._counts, np.nan)))


def as_csv(values: Mapping[str, ResidueValues], tables: Mapping[str, np.ndarray | None]) -> str:
    """A line for each trajectory, residue and horizon.

    Args:
        tables: by trajectory its residues (contracts.RESIDUE_DTYPE), None where they are unknown.
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    named = ("number", "insertion_code", "name", "chain", "segment")
    writer.writerow(["trajectory", "residue", *named, "horizon", "windows", *_COLUMNS])
    for trajectory, own in values.items():
        means, table = own.means(), tables[trajectory]
        horizon, num_residues = means.change_rate.shape
        for residue in range(num_residues):
            called = [""] * len(named) if table is None else table[residue].tolist()
            for step in range(horizon):
                numbers = [getattr(means, name)[step, residue] for name in _COLUMNS]
                cells = ["" if np.isnan(number) else f"{number:.6f}" for number in numbers]
                writer.writerow([trajectory, residue, *called, step + 1, own.num_windows, *cells])
    return text.getvalue()

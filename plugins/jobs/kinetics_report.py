"""kinetics.json: rollouts beside the simulation and two controls, trajectory by trajectory."""

import json
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from emprot_core.data.store import TrajectoryStore
from emprot_core.files import write_atomically

from .forecast_windows import Store
from .kinetics import Numbers, compare, independent_draws, warning_for
from .markov_chain import chapman_kolmogorov, implied_timescales
from .rollout_store import Origin

_LEAST_FRAMES = 10  # of a piece that is compared
_LAGS = (1, 5)
_NUM_DRAWS = 5
_log = logging.getLogger("emprot")


def write_kinetics(output: Path, origins: Sequence[Origin], store: Store, num_rollouts: int) -> None:
    """Compare the store <output>/rollouts with the simulation, write kinetics.json and log a table.

    The reference is the piece of the simulation that follows the start of the rollouts or, where there is none, its
    last frames. The controls are the piece before the reference, and independent draws from all frames before it.

    Raises:
        ModuleNotFoundError: deeptime is not installed.
    """
    rollouts = TrajectoryStore(output / "rollouts")
    records = {}
    for place, origin in enumerate(origins):
        drawn = [np.array(rollouts.ids(place * num_rollouts + seed)) for seed in range(num_rollouts)]
        records[origin.start.trajectory] = _record(np.array(store.ids(origin.row)), origin.last_frame, drawn)
    write_atomically(output / "kinetics.json", f"{json.dumps(records, indent=1)}\n".encode())
    for name, record in records.items():
        _log.info("%s\n%s", name, _table(record))


def _record(ids: np.ndarray, last_frame: int, drawn: Sequence[np.ndarray]) -> dict[str, Any]:
    begin, length = last_frame + 1, len(drawn[0])
    if len(ids) - begin < _LEAST_FRAMES:
        begin = max(0, len(ids) - length)
    reference = ids[begin : begin + length]
    length = len(reference)
    before = ids[max(0, begin - length) : begin]
    compared = {"rollouts": [each[:length] for each in drawn]}
    if len(before) == length:
        compared["simulation before"] = [before]
        compared["independent draws"] = [independent_draws(ids[:begin], length, seed) for seed in range(_NUM_DRAWS)]
    rows = {name: _mean([compare(piece, reference) for piece in pieces]) for name, pieces in compared.items()}
    chains = {"simulation": [ids], "reference": [reference], **compared}
    return {
        "frames": [begin, begin + length],
        "rows": rows,
        "timescales_frames": {
            name: {str(lag): implied_timescales(pieces, lag) for lag in _LAGS if lag < length // 2}
            for name, pieces in chains.items()
        },
        "chapman_kolmogorov": {name: chapman_kolmogorov(pieces) for name, pieces in chains.items()},
        "warning": warning_for(length),
    }


def _mean(rows: Sequence[Numbers]) -> Numbers:
    found: Numbers = {}
    for name in rows[0]:
        values = [row[name] for row in rows]
        found[name] = None if any(value is None for value in values) else float(np.mean(values))  # type: ignore[arg-type]
    return found


def _table(record: dict[str, Any]) -> str:
    """The rows as text; the reference stands in the heading."""
    names = list(record["rows"])
    width = max(map(len, names))
    first, stop = record["frames"]
    keys = ("occupancy_jsd_bits", "change_rate_ratio", "dwell_ks", "transition_tv", "agreement", "mean_dwell_frames")
    lines = [
        f"against frames {first} to {stop - 1} of the simulation:",
        " " * width + "".join(f"{k:>20}" for k in keys),
    ]
    for name in names:
        cells = ["-" if record["rows"][name][k] is None else f"{record['rows'][name][k]:.3f}" for k in keys]
        lines.append(name.ljust(width) + "".join(f"{cell:>20}" for cell in cells))
    own = record["rows"]["rollouts"]
    for what in ("agreement", "mean_dwell_frames"):
        if own[f"{what}_reference"] is not None:
            lines.append(f"{what} of the reference itself: {own[f'{what}_reference']:.3f}")
    for name, value in record["chapman_kolmogorov"].items():
        if value is not None:
            told = f"{value['value']:.3f}, floor {value['floor']:.3f} (sd {value['floor_sd']:.3f})"
            lines.append(f"Chapman-Kolmogorov of the {name}: {told}")
    for name, by_lag in record["timescales_frames"].items():
        if slowest := [f"{times[0]:.3g} at lag {lag}" for lag, times in by_lag.items() if times]:
            lines.append(f"slowest timescale of the {name}, frames: {', '.join(slowest)}")
    return "\n".join([*lines, *filter(None, [record["warning"]])])

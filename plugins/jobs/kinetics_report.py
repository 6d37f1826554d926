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
from .kinetics import Numbers, chapman_kolmogorov, compare, implied_timescales, independent_draws, warning_for
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
        records[origin.start.trajectory] = _record(np.array(store.ids(origin.row)), origin.last_frame, drawn, store)
    write_atomically(output / "kinetics.json", f"{json.dumps(records, indent=1)}\n".encode())
    for name, record in records.items():
        _log.info("%s\n%s", name, _table(record))


def _record(ids: np.ndarray, last_frame: int, drawn: Sequence[np.ndarray], store: Store) -> dict[str, Any]:
    num_clusters, length = store.vocabulary.num_clusters, len(drawn[0])
    begin = last_frame + 1
    if len(ids) - begin < _LEAST_FRAMES:
        begin = max(0, len(ids) - length)
    reference = ids[begin : begin + length]
    length = len(reference)
    before = ids[max(0, begin - length) : begin]
    controls = {"rollouts": [each[:length] for each in drawn]}
    if len(before) == length:
        controls["simulation before"] = [before]
        draws = [independent_draws(ids[:begin], length, num_clusters, seed) for seed in range(_NUM_DRAWS)]
        controls["independent draws"] = draws
    rows = {name: _mean([compare(piece, reference, num_clusters) for piece in p]) for name, p in controls.items()}
    return {
        "frames": [begin, begin + length],
        "rows": rows,
        "timescales_frames": {
            name: {str(lag): implied_timescales(pieces, lag) for lag in _LAGS if lag < length // 2}
            for name, pieces in (("simulation", [ids]), ("rollouts", drawn))
        },
        "chapman_kolmogorov": {"simulation": chapman_kolmogorov([ids]), "rollouts": chapman_kolmogorov(drawn)},
        "warning": warning_for(len(ids)),
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
    keys = ("occupancy_jsd_bits", "change_rate_ratio", "dwell_ks", "transition_tv", "agreement")
    lines = [
        f"against frames {first} to {stop - 1} of the simulation:",
        " " * width + "".join(f"{k:>20}" for k in keys),
    ]
    for name in names:
        cells = ["-" if record["rows"][name][k] is None else f"{record['rows'][name][k]:.3f}" for k in keys]
        lines.append(name.ljust(width) + "".join(f"{cell:>20}" for cell in cells))
    real = record["rows"]["rollouts"]["agreement_reference"]
    if real is not None:
        lines.append(f"agreement of the reference itself: {real:.3f}")
    for name, value in record["chapman_kolmogorov"].items():
        told = f"{value['value']:.3f}, floor {value['floor']:.3f} (sd {value['floor_sd']:.3f})"
        lines.append(f"Chapman-Kolmogorov of the {name}: {told}")
    return "\n".join([*lines, *filter(None, [record["warning"]])])

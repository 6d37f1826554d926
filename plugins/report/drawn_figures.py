"""What forecasts in a run directory have drawn: rollouts beside the simulation, and the numbers of kinetics.json."""

from typing import Any

import numpy as np

from emprot_core.contracts import Data, ReadsStores
from emprot_core.data.joined_stores import open_stores
from emprot_core.data.store import TrajectoryStore

from .figures import COLOURS, GREY, Figure, plain
from .run_facts import Drawn, RunFacts

_MOST_ROLLOUTS = 8
_HEADS = {
    "occupancy_jsd_bits": "occupancy, JSD in bits",
    "change_rate_ratio": "change rate, ratio",
    "dwell_ks": "dwell times, KS",
    "transition_tv": "transitions, TV",
    "agreement": "agreement at lag 25",
    "mean_dwell_frames": "mean dwell, frames",
}


def kept_classes(run: RunFacts, drawn: Drawn, data: Data | None, name: str) -> Figure | None:
    """How many residues are still, or again, in the class they began in, in rollouts of the first trajectory.

    Args:
        data: of the run, for the simulation beside them; kinetics.json says where in it the rollouts begin.
    """
    if not (drawn.folder / "rollouts" / "store.json").is_file():
        return None
    store = TrajectoryStore(drawn.folder / "rollouts")
    names = store.index["name"].tolist()
    trajectory = names[0].rpartition("-seed")[0]
    own = [row for row, each in enumerate(names) if each.rpartition("-seed")[0] == trajectory][:_MOST_ROLLOUTS]
    lines = {names[row].rpartition("-")[2]: _kept(np.array(store.ids(row))) for row in own}
    reference = _reference(drawn, data, trajectory)
    if reference is not None:
        lines["simulation"] = _kept(reference)
    length = max(map(len, lines.values()))
    columns: dict[str, list[Any]] = {"frame": list(range(length))}
    columns |= {
        each: plain(np.pad(values, (0, length - len(values)), constant_values=np.nan)) for each, values in lines.items()
    }
    data_of_plot = [
        {
            "type": "scatter",
            "mode": "lines",
            "name": each,
            "x": columns["frame"],
            "y": columns[each],
            "line": {
                "color": GREY if each == "simulation" else COLOURS[i % len(COLOURS)],
                "width": 3 if each == "simulation" else 1.5,
            },
        }
        for i, each in enumerate(lines)
    ]
    layout = {
        "xaxis": {"title": {"text": "frames after the first"}},
        "yaxis": {"title": {"text": "share of residues"}, "range": [0, 1]},
    }
    text = (
        f"{trajectory}: the share of residues in the class that they had in the first frame. From {drawn.folder.name}."
    )
    return Figure(name, f"Rollouts of {run.name}", text, data_of_plot, layout, columns)


def kinetics_tables(drawn: Drawn) -> list[tuple[str, list[str], list[list[Any]], str]]:
    """By trajectory the title, the heads and the rows of a table, and the warning below it."""
    tables = []
    for trajectory, record in list(drawn.kinetics.items())[:3]:
        first, stop = record["frames"]
        rows = [[name, *(own[key] for key in _HEADS)] for name, own in record["rows"].items()]
        own = record["rows"]["rollouts"]
        themselves = [own["agreement_reference"], own["mean_dwell_frames_reference"]]
        rows.append(["simulation itself", *[None] * (len(_HEADS) - len(themselves)), *themselves])
        title = f"{trajectory}: against frames {first} to {stop - 1} of the simulation"
        tables.append((title, ["", *_HEADS.values()], rows, record["warning"]))
    return tables


def _kept(ids: np.ndarray) -> np.ndarray:
    """(T,) the share of residues with the ID of the first frame, over those that have both."""
    known = (ids >= 0) & (ids[0] >= 0)
    return ((ids == ids[0]) & known).sum(axis=1) / np.maximum(1, known.sum(axis=1))


def _reference(drawn: Drawn, data: Data | None, trajectory: str) -> np.ndarray | None:
    """The piece of the simulation that kinetics.json compares with."""
    record = drawn.kinetics.get(trajectory)
    if record is None or not isinstance(data, ReadsStores):
        return None
    store = open_stores([place.directory for place in data.places_of_stores()])
    names = store.index["name"].tolist()
    first, stop = record["frames"]
    return np.array(store.ids(names.index(trajectory))[first:stop]) if trajectory in names else None

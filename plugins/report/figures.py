"""What a figure is, and those about the skill and the training of runs."""

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from .run_facts import RunFacts

COLOURS = ("#4C8DD6", "#E08A2E", "#3FA66B", "#C65D9E", "#8C7AE6", "#A89A2C", "#4FAFC0", "#D9605B")
"""Of runs and horizons: each can be told from white and from black."""
GREY = "#8A8F98"
_SYMBOLS = ("circle", "diamond", "square", "triangle-up")
_MOST_POINTS = 1000  # of a curve

Values = Sequence[float | None]


class Figure(NamedTuple):
    """A figure as plotly draws it, and its numbers as they go into the CSV file. All columns are equally long."""

    name: str  # of the element and of the CSV file
    title: str
    text: str
    data: list[dict[str, Any]]
    layout: dict[str, Any]
    columns: dict[str, list[Any]]


def plain(values: Any, digits: int | None = None) -> Any:
    """Numbers of an array as JSON knows them: nested lists, None for NaN."""
    if isinstance(values, np.ndarray):
        return [plain(value, digits) for value in values.tolist()]
    if isinstance(values, list):
        return [plain(value, digits) for value in values]
    if isinstance(values, float) and not math.isfinite(values):
        return None
    return round(values, digits) if digits is not None and isinstance(values, float) else values


def shown_horizons(num_horizons: int) -> list[int]:
    """Up to four horizons, from 0 on: the first, the last, and two between."""
    return sorted({round(place) for place in np.linspace(0, num_horizons - 1, 4)})


def gains(run: RunFacts, number: int) -> Figure | None:
    """The gain of a model over each baseline, with its interval."""
    test = run.test
    if test is None or not test["gains"]:
        return None
    order = sorted(test["gains"], key=lambda name: -_mean(test["gains"][name]["bits"]))
    over = {name if name != test["best_baseline"] else f"{name} (best)": test["gains"][name] for name in order}
    text = (
        "NLL of the baseline less that of the model, in bits per residue and frame, with 95 % intervals. Right of 0 "
        "the model is better. The verdict is about the best baseline."
    )
    return _intervals(f"gains-{number}", f"Gain of {run.name} over each baseline", text, "baseline", over)


def gains_by_protein(run: RunFacts, number: int) -> Figure | None:
    """The gain over the best baseline for each of two to five proteins."""
    proteins = ((run.test or {}).get("gains") or {}).get((run.test or {}).get("best_baseline"), {}).get("proteins")
    if not proteins:
        return None
    text = "Each protein has an interval of its own; a common one needs six."
    return _intervals(f"proteins-{number}", f"Gain of {run.name} by protein", text, "protein", proteins)


def skill(runs: Sequence[RunFacts]) -> Figure | None:
    """The NLL of the models over the horizon, beside the best baseline of the first run."""
    judged = [run for run in runs if run.test is not None]
    if not judged:
        return None
    lines: dict[str, Values] = {run.name: run.test["model"]["nll_bits"] for run in judged}  # type: ignore[index]
    first: Any = judged[0].test
    baselines = {name: each["nll_bits"] for name, each in first["baselines"].items() if each["nll_bits"] is not None}
    data = [
        _line(name, list(range(1, len(bits) + 1)), bits, COLOURS[i % len(COLOURS)], mode="lines+markers")
        for i, (name, bits) in enumerate(lines.items())
    ]
    best = first["best_baseline"]
    if best is not None:
        steps = list(range(1, len(baselines[best]) + 1))
        data.append(
            _line(f"{best}, the best baseline", steps, baselines[best], GREY, dash="dash", mode="lines+markers")
        )
    named = {**{f"model {name}": bits for name, bits in lines.items()}, **baselines}
    num_steps = max(map(len, named.values()))
    columns: dict[str, list[Any]] = {"horizon": list(range(1, num_steps + 1))}
    columns |= {name: [*bits, *[None] * (num_steps - len(bits))] for name, bits in named.items()}
    layout = {
        "xaxis": {"title": {"text": "horizon, frames ahead"}, "dtick": max(1, num_steps // 8)},
        "yaxis": {"title": {"text": "NLL, bits (lower is better)"}},
    }
    text = "On the test split. The CSV file has every baseline."
    return Figure("skill", "Negative log-likelihood over the horizon", text, data, layout, columns)


def curves(runs: Sequence[RunFacts]) -> Figure | None:
    """The loss by optimizer step: that of training as a mean over some steps, and that of each validation."""
    data, rows = [], []
    for i, run in enumerate(runs):
        colour = COLOURS[i % len(COLOURS)]
        block = max(1, -(-len(run.steps) // _MOST_POINTS), min(10, len(run.steps) // 20))
        cut = len(run.steps) - len(run.steps) % block
        steps = run.steps["step"][:cut].reshape(-1, block)[:, -1].tolist()
        losses = plain(run.steps["loss"][:cut].reshape(-1, block).mean(axis=1))
        data.append(_line(f"{run.name}, training", steps, losses, colour, opacity=0.55))
        known = [(line["step"], line["val/total_loss"]) for line in run.validations if "val/total_loss" in line]
        at, validated = [step for step, _ in known], [loss for _, loss in known]
        data.append(_line(f"{run.name}, validation", at, validated, colour, mode="lines+markers", dash="dot"))
        rows += [(run.name, "training", *pair) for pair in zip(steps, losses, strict=True)]
        rows += [(run.name, "validation", *pair) for pair in known]
    if not rows:
        return None
    columns = dict(zip(("run", "part", "step", "loss_nats"), map(list, zip(*rows, strict=True)), strict=True))
    layout = {"xaxis": {"title": {"text": "optimizer step"}}, "yaxis": {"title": {"text": "loss, nats"}}}
    text = "The optimised loss. That of training is a mean over neighbouring steps, with dropout."
    return Figure("curves", "Training", text, data, layout, columns)


def reliability(bins: Mapping[str, np.ndarray]) -> Figure | None:
    """Whether a confidence means what it says, at h = 1.

    Args:
        bins: by run the array of contracts.SeenWindows.
    """
    rows = []
    diagonal = {"x": [0, 1], "y": [0, 1], "mode": "lines", "line": {"color": GREY, "dash": "dash"}, "hoverinfo": "skip"}
    data: list[dict[str, Any]] = [{"type": "scatter", "name": "as often as it says", **diagonal}]
    for i, (name, own) in enumerate(bins.items()):
        confidence, hits, counts = own[0][:, own[0][2] > 0]
        x, y, n = (plain(each) for each in (confidence / counts, hits / counts, counts.astype(int)))
        hover = "confidence %{x:.2f}, right %{y:.2f}, %{customdata:,} targets"
        more = {"mode": "lines+markers", "customdata": n, "hovertemplate": hover}
        data.append(_line(name, x, y, COLOURS[i % len(COLOURS)], **more))
        rows += [(name, *each) for each in zip(x, y, n, strict=True)]
    if not rows:
        return None
    columns = dict(zip(("run", "confidence", "accuracy", "targets"), map(list, zip(*rows, strict=True)), strict=True))
    axis = {"range": [0, 1], "dtick": 0.2}
    layout = {
        "xaxis": {"title": {"text": "probability of the likeliest class"}, **axis},
        "yaxis": {"title": {"text": "how often it was right"}, **axis},
    }
    text = "At h = 1. Below the diagonal the model is too sure of itself, above it too careful."
    return Figure("reliability", "Reliability", text, data, layout, columns)


def _intervals(name: str, title: str, text: str, what: str, rows: Mapping[str, Mapping[str, Values]]) -> Figure:
    """Points with intervals: a row for each name, and in it a point for each horizon that is shown."""
    horizons = shown_horizons(max(len(each["bits"]) for each in rows.values()))
    data = []
    for place, step in enumerate(horizons):
        offset = 0.18 * ((len(horizons) - 1) / 2 - place)
        bits, low, high = ([own[key][step] for own in rows.values()] for key in ("bits", "low", "high"))
        arms = [
            [None if e is None or b is None else abs(e - b) for e, b in zip(ends, bits, strict=True)]
            for ends in (high, low)
        ]
        data.append(
            {
                "type": "scatter",
                "mode": "markers",
                "name": f"h = {step + 1}",
                "x": bits,
                "y": [i + offset for i in range(len(rows))],
                "error_x": {"type": "data", "array": arms[0], "arrayminus": arms[1], "thickness": 1.5, "width": 3},
                "marker": {"symbol": _SYMBOLS[place], "size": 8, "color": COLOURS[place]},
                "text": list(rows),
                "hovertemplate": "%{text}: %{x:+.3f} bits",
            }
        )
    table = [
        (row, step + 1, own["bits"][step], own["low"][step], own["high"][step])
        for row, own in rows.items()
        for step in range(len(own["bits"]))
    ]
    columns = dict(zip((what, "horizon", "bits", "low", "high"), map(list, zip(*table, strict=True)), strict=True))
    layout = {
        "xaxis": {"title": {"text": "gain, bits"}, "zeroline": True, "zerolinewidth": 2},
        "yaxis": {"tickvals": list(range(len(rows))), "ticktext": list(rows), "showgrid": False, "zeroline": False},
        "height": 160 + 44 * len(rows),
    }
    return Figure(name, title, text, data, layout, columns)


def _line(name: str, x: list[Any], y: Values, colour: str, dash: str = "solid", **more: Any) -> dict[str, Any]:
    line = {"color": colour, "dash": dash, "width": 2}
    return {"type": "scatter", "mode": "lines", "name": name, "x": x, "y": list(y), "line": line, **more}


def _mean(values: Values) -> float:
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else 0.0

"""The pictures of the gallery: training and skill of a run, a forecast by residue, a store."""

import csv
import json
import math
from pathlib import Path
from typing import Any

import numpy as np

from emprot_core.data.store import TrajectoryStore

DPI = 110
MODEL, BEST, OTHER = "#2f6fb5", "#d9782a", "#b8bcc2"


def draw_run(run: Path, picture: Path, evaluation: Path | None = None) -> dict[str, Any]:
    """Draw the validation loss, and the test NLL beside that of the baselines, and give the scores.

    Args:
        evaluation: a file of Evaluate that takes the place of the run's own test scores.
    """
    test = json.loads((evaluation or run / "result.json").read_text())
    test = test if evaluation else test["test"]
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    figure, (left, right) = _figure(2)
    left.plot([line["step"] for line in lines], [line["val/total_loss"] for line in lines], "o-", color=MODEL)
    left.set(xlabel="optimizer step", ylabel="validation loss, nats")
    if not test:
        right.axis("off")
        right.text(0.5, 0.5, "no test split", ha="center", va="center", color="grey")
        figure.savefig(picture, dpi=DPI)
        return {}
    best = test["best_baseline"]
    for name, scores in test["baselines"].items():
        if scores.get("nll_bits") and name != best:
            _line(right, scores["nll_bits"], color=OTHER, label="other baselines")
    if best:
        _line(right, test["baselines"][best]["nll_bits"], color=BEST, label=f"{best}, the best baseline")
    _line(right, test["model"]["nll_bits"], color=MODEL, label="model", linewidth=2.5)
    right.set(xlabel="frames ahead", ylabel="test NLL, bits", xticks=range(1, len(test["model"]["nll_bits"]) + 1))
    handles, labels = right.get_legend_handles_labels()
    kept = dict(zip(labels, handles, strict=True))
    right.legend(kept.values(), kept.keys(), fontsize=8)
    figure.savefig(picture, dpi=DPI)
    return {
        "verdict": test["verdict"],
        "best_baseline": best,
        "nll_bits": _rounded(test["model"]["nll_bits"]),
        "gain": {name: _rounded(values) for name, values in test["gains"][best].items()} if best else None,
    }


def draw_forecast(table: Path, picture: Path) -> None:
    """Draw how often each residue is expected to change at the next frame, and how often it did."""
    with table.open() as file:
        rows = [row for row in csv.DictReader(file) if row["horizon"] == "1" and row["change_probability"]]
    figure, (axes,) = _figure(1)
    numbers = [int(row["number"]) for row in rows]
    observed = [float(row["change_rate"] or "nan") for row in rows]
    axes.plot(numbers, observed, ".", color=BEST, label="observed change rate")
    expected = [float(row["change_probability"]) for row in rows]
    breaks = [i for i in range(1, len(numbers)) if numbers[i] > numbers[i - 1] + 1]  # no line across a gap in the chain
    axes.plot(
        np.insert(np.array(numbers, float), breaks, np.nan),
        np.insert(expected, breaks, np.nan),
        color=MODEL,
        label="change probability",
    )
    axes.set(xlabel="residue number", ylabel="at the next frame", ylim=(0, 1))
    axes.legend(fontsize=8, loc="lower right")
    figure.savefig(picture, dpi=DPI)


def draw_store(store: Path, picture: Path) -> None:
    """Draw the cluster IDs of the first trajectory: a column for each frame, a row for each residue."""
    opened = TrajectoryStore(str(store))
    figure, (axes,) = _figure(1)
    axes.imshow(opened.ids(0).T, aspect="auto", cmap="tab20", interpolation="nearest")
    axes.set(xlabel="frame", ylabel="residue", title=f"{opened.index['name'][0]}: the class of each residue, by colour")
    figure.savefig(picture, dpi=DPI)


def _figure(columns: int) -> tuple[Any, Any]:
    """A figure of that many axes side by side.

    Raises:
        ImportError: matplotlib is not installed.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError:
        raise ImportError("the pictures need matplotlib; install the extra: pip install 'emprot[figures]'") from None
    figure = Figure(figsize=(7, 2.8), layout="constrained")
    return figure, figure.subplots(1, columns, squeeze=False)[0]


def _line(axes: Any, values: list[float], **style: Any) -> None:
    axes.plot(range(1, len(values) + 1), values, "o-", markersize=3, **style)


def _rounded(values: list[float]) -> list[float]:
    return [round(value, 3) if math.isfinite(value) else value for value in values]

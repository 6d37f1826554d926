"""Pictures of the first test windows, drawn by matplotlib."""

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from emprot_core.contracts import SeenWindows

_DOTS = 110  # an inch


def pictures_of(seen: SeenWindows) -> dict[str, np.ndarray]:
    """By name the pixels (height, width, 3), uint8: maps, chain, reliability, confusion, transitions."""
    drawn = {
        "1_truth_and_forecast": _maps(seen),
        "2_error_along_the_chain": _chain(seen),
        "3_reliability": _reliability(seen),
        "4_confusion": _confusion(seen),
        "5_transitions": _transitions(seen),
    }
    return {name: _pixels(figure) for name, figure in drawn.items()}


def _maps(seen: SeenWindows) -> Figure:
    """Residue by frame, at h = 1: where the class changed, and how probable the model held that."""
    figure = Figure(figsize=(9, 5), layout="constrained")
    figure.suptitle(f"{seen.trajectory}, h = 1")
    both = {"did the class change?": seen.changed[0], "expected probability of a change": seen.change_probability[0]}
    axes = figure.subplots(2, sharex=True)
    for axis, (title, values) in zip(axes, both.items(), strict=True):
        image = axis.imshow(values, aspect="auto", vmin=0, vmax=1, interpolation="nearest", cmap="viridis")
        axis.set(title=title, ylabel="window")
    axes[-1].set_xlabel("residue")
    figure.colorbar(image, ax=axes, fraction=0.03)
    return figure


def _chain(seen: SeenWindows) -> Figure:
    """The NLL of each residue, the mean over windows, at the first and the last horizon."""
    figure = Figure(figsize=(9, 3), layout="constrained")
    axis = figure.subplots()
    for step in sorted({0, len(seen.nll_bits) - 1}):
        known = ~np.isnan(seen.nll_bits[step])
        sums = np.where(known, seen.nll_bits[step], 0).sum(axis=0)
        axis.plot(sums / np.where(known.any(axis=0), known.sum(axis=0), np.nan), label=f"h = {step + 1}", linewidth=1)
    axis.set(title=f"{seen.trajectory}: error along the chain", xlabel="residue", ylabel="NLL, bits", ylim=(0, None))
    axis.legend()
    return figure


def _reliability(seen: SeenWindows) -> Figure:
    """How often the likeliest class was right, by how sure the model was of it."""
    figure = Figure(figsize=(4.5, 4.5), layout="constrained")
    axis = figure.subplots()
    axis.plot([0, 1], [0, 1], color="grey", linestyle=":", label="perfect")
    for step in sorted({0, len(seen.bins) - 1}):
        confidence, hits, counts = seen.bins[step][:, seen.bins[step][2] > 0]
        axis.plot(confidence / counts, hits / counts, marker="o", label=f"h = {step + 1}")
    axis.set(title="reliability", xlabel="confidence", ylabel="accuracy", xlim=(0, 1), ylim=(0, 1))
    axis.legend()
    return figure


def _confusion(seen: SeenWindows) -> Figure:
    figure = Figure(figsize=(5.5, 5), layout="constrained")
    axis = figure.subplots()
    _matrix(axis, seen.confusion, seen.classes, "commonest classes, h = 1")
    axis.set(xlabel="likeliest class", ylabel="class that came")
    return figure


def _transitions(seen: SeenWindows) -> Figure:
    figure = Figure(figsize=(9.5, 4.8), layout="constrained")
    for axis, counts, title in zip(figure.subplots(1, 2), seen.transitions, ("came", "forecast"), strict=True):
        _matrix(axis, counts, seen.classes, f"transitions, h = 1: {title}")
        axis.set(xlabel="next class", ylabel="last class")
    return figure


def _matrix(axis, counts: np.ndarray, classes: np.ndarray, title: str) -> None:  # type: ignore[no-untyped-def]
    """The shares of each row, with the IDs of the classes beside them."""
    names = [*map(str, classes), "other"]
    axis.imshow(counts / np.maximum(counts.sum(axis=1, keepdims=True), 1e-9), vmin=0, vmax=1, cmap="Blues")
    axis.set_title(title)
    axis.set_xticks(range(len(names)), names, rotation=90)
    axis.set_yticks(range(len(names)), names)


def _pixels(figure: Figure) -> np.ndarray:
    figure.set_dpi(_DOTS)
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3]

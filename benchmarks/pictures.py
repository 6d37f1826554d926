"""Pictures of what the suites measured: targets beside their bounds, and how costs grow."""

from pathlib import Path
from typing import Any

from benchmarks.results_files import Measured, all_targets, margin, read_results
from benchmarks.targets import HEADLINES


def write_pictures(folder: Path) -> None:
    """Write targets.png and, where the suite was measured, scaling.png.

    Raises:
        ImportError: matplotlib is not installed.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError:
        raise ImportError("the pictures need matplotlib; install the extra: pip install 'emprot[bench]'") from None
    results = read_results(folder)
    _targets(Figure, results, folder / "targets.png")
    for result in results:
        if result["suite"] == "scaling":
            _scaling(Figure, result["records"], folder / "scaling.png")


def _targets(figure_of: Any, results: list[Measured], path: Path) -> None:
    """A bar for every headline: how far beyond its bound the measured figure is; 1 is the bound."""
    bars = [
        (f"{target['what']} ({result['on']})", margin(target))
        for result in results
        for target in all_targets(result)
        if target["what"] in HEADLINES
    ]
    if not bars:
        return
    figure = figure_of(figsize=(12, 1 + 0.25 * len(bars)), layout="constrained")
    axes = figure.subplots()
    names, margins = zip(*reversed(bars), strict=True)
    axes.barh(names, margins, color=["tab:green" if margin >= 1 else "tab:red" for margin in margins])
    axes.axvline(1, color="black", linewidth=1)
    axes.set_xscale("log")
    axes.set_xticks([0.1, 0.3, 1, 3, 10], ["0.1", "0.3", "1", "3", "10"])
    axes.minorticks_off()
    axes.set_xlabel("times better than the bound")
    figure.savefig(path, dpi=80)


def _scaling(figure_of: Any, records: list[dict[str, Any]], path: Path) -> None:
    """Time and peak memory over each size, on log-log axes, beside lines with the expected slope of time."""
    figure = figure_of(figsize=(12, 6), layout="constrained")
    for axes, record in zip(figure.subplots(2, 4).flat, records, strict=False):
        sizes, ratios = record["sizes"], record["ratios"]
        milliseconds = [record["times"][str(size)]["median_ms"] for size in sizes]
        axes.loglog(sizes, milliseconds, "o-", label=f"time, ms: slope {ratios['slope of time']:.2f}")
        expected = ratios["expected slope of time"]
        line = [milliseconds[-1] * (size / sizes[-1]) ** expected for size in sizes]
        axes.loglog(sizes, line, "--", color="tab:blue", alpha=0.5, label=f"theory: {expected:.2f}")
        known = []
        if "peaks_mb" in record:
            known = [(size, peak) for size, peak in zip(sizes, record["peaks_mb"], strict=True) if peak > 0]
        if known:
            label = f"peak, MB: {ratios['slope of peak memory']:.2f}"
            axes.loglog(*zip(*known, strict=True), "s:", color="tab:orange", label=label)
        ends = [sizes[0], sizes[-1]]
        axes.set_xticks(ends, [f"{size:,}" for size in ends])
        axes.minorticks_off()
        axes.set_title(record["name"], fontsize=9)
        axes.legend(fontsize=7)
    figure.savefig(path, dpi=80)

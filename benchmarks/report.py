"""Tables and a plot of what the suites measured, from their JSON files alone."""

import json
from pathlib import Path
from typing import Any

from benchmarks.targets import ON_CUDA

Measured = dict[str, Any]


def read_results(folder: Path) -> list[Measured]:
    """The results of a folder in the order of their names, each with `on`: cpu or cuda."""
    return [{**json.loads(path.read_text()), "on": path.stem.split("-")[0]} for path in sorted(folder.glob("*-*.json"))]


def write_report(folder: Path, path: Path) -> None:
    """A Markdown file: every target beside the measured figure, then the times and ratios of every suite."""
    results = read_results(folder)
    parts = [
        "# Measured speed and memory",
        "Written by `python -m benchmarks` from the files in `results/`; do not edit. The place of a figure that was "
        "not measured is empty. On a CPU times are those of the process in one thread, forms take turns, and medians "
        "are given (10th to 90th percentile).",
        "## Targets",
        _table(["target", "on", "bound", "measured", "met"], [*_measured(results), *_not_measured(results)]),
    ]
    for result in results:
        parts += [f"## {result['suite']}, {result['on']}", _origin(result)]
        for record in result["records"]:
            parts += _record(record)
    path.write_text("\n\n".join(parts) + "\n")


def write_plot(folder: Path, path: Path) -> None:
    """A bar for every target: how far beyond its bound the measured figure is; 1 is the bound.

    Raises:
        ImportError: matplotlib is not installed.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError:
        raise ImportError("the plot needs matplotlib; install the extra: pip install 'emprot[bench]'") from None
    bars = [(f"{t['what']} ({result['on']})", _margin(t)) for result in read_results(folder) for t in _all(result)]
    if not bars:
        return
    figure = Figure(figsize=(9, 1 + 0.35 * len(bars)), layout="constrained")
    axes = figure.subplots()
    names, margins = zip(*reversed(bars), strict=True)
    axes.barh(names, margins, color=["tab:green" if margin >= 1 else "tab:red" for margin in margins])
    axes.axvline(1, color="black", linewidth=1)
    axes.set_xscale("log")
    axes.set_xlabel("times better than the bound")
    figure.savefig(path, dpi=100)


def compare(first: Path, second: Path) -> str:
    """A table of every time that both files have, and the second as a multiple of the first."""
    before, after = (json.loads(path.read_text()) for path in (first, second))
    known = {(r["name"], form): times for r in before["records"] for form, times in r["times"].items()}
    rows = [
        [record["name"], form, f"{old:.4g}", f"{times['median_ms']:.4g}", f"{times['median_ms'] / old:.2f}"]
        for record in after["records"]
        for form, times in record["times"].items()
        if (old := known.get((record["name"], form), {}).get("median_ms"))
    ]
    header = ["case", "form", f"{first} ms", f"{second} ms", "second / first"]
    return "\n\n".join([f"{first}: {_origin(before)}", f"{second}: {_origin(after)}", _table(header, rows)])


def _measured(results: list[Measured]) -> list[list[str]]:
    rows = []
    for result in results:
        for target in _all(result):
            met = "yes" if _margin(target) >= 1 else "**no**"
            bound = _bound(target["bound"], target["at_least"])
            rows.append([target["what"], result["on"], bound, f"{target['measured']:.3g}", met])
    return rows


def _not_measured(results: list[Measured]) -> list[list[str]]:
    known = {target["what"] for result in results if result["on"] == "cuda" for target in _all(result)}
    return [[what, "cuda", _bound(*bound), "", ""] for what, bound in ON_CUDA.items() if what not in known]


def _bound(bound: float, at_least: bool) -> str:
    return f"{'>=' if at_least else '<='} {bound:g}"


def _all(result: Measured) -> list[Measured]:
    return [target for record in result["records"] for target in record.get("targets", [])]


def _margin(target: Measured) -> float:
    """1 where a target is just met, more where it is exceeded."""
    ratio = target["measured"] / target["bound"]
    return ratio if target["at_least"] else 1 / ratio


def _origin(result: Measured) -> str:
    facts = [result["device"], f"torch {result['torch']}", f"commit {result['commit']}", result["measured"]]
    seconds = f"; {result['seconds']} s" if "seconds" in result else ""
    return ", ".join(facts) + seconds + (f"; not complete: {result['error']}" if "error" in result else "")


def _record(record: Measured) -> list[str]:
    facts = {k: v for k, v in record.items() if isinstance(v, (int, float, str)) and k != "name"}
    facts |= {k: ", ".join(map(str, v)) for k, v in record.items() if isinstance(v, list) and k != "targets" and v}
    times = [
        [name, f"{t['median_ms']:.4g}", f"{t['p10_ms']:.4g} to {t['p90_ms']:.4g}"]
        for name, t in record["times"].items()
    ]
    parts = [f"### {record['name']}", ", ".join(f"{name} {_shown(value)}" for name, value in facts.items())]
    parts.append(_table(["", "median ms", "spread"], times))
    if record.get("ratios"):
        parts.append(_table(["ratio", ""], [[name, f"{value:.2f}"] for name, value in record["ratios"].items()]))
    return [part for part in parts if part]


def _shown(value: Any) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def _table(header: list[str], rows: list[list[str]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)

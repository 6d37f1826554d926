"""Tables of what the suites measured, from their JSON files alone: one page that sums up, and a page for each suite."""

import json
import os
from pathlib import Path
from typing import Any

from benchmarks.results_files import Measured, all_targets, margin, read_results
from benchmarks.targets import HEADLINES, ON_CUDA

DEVICES = ("cpu", "cuda")


def write_report(folder: Path, path: Path) -> None:
    """Write the front page, with the targets that matter and those that are missed, and <suite>.md in the folder."""
    results = read_results(folder)
    suites = sorted({result["suite"] for result in results})
    for suite in suites:
        _write_page(folder / f"{suite}.md", suite, [result for result in results if result["suite"] == suite])
    headlines, others = _rows(results)
    missed = [row for row in others if "**" in "".join(row)]
    place = os.path.relpath(folder, path.parent)
    parts = [
        "# Measured speed and memory",
        "Written by `python -m benchmarks` from the JSON files of the suites; do not edit. Figures are ratios unless "
        "they have a unit; a **bold** one misses its bound, and the place of one that was not measured is empty. On a "
        "CPU times are those of the process in one thread, and forms take turns.",
        _table(["target", "bound", *DEVICES], headlines),
        f"Of {len(others)} further targets {len(others) - len(missed)} are met. Those that are not:",
        _table(["target", "bound", *DEVICES], missed),
        "## Suites",
        _table(["suite", *DEVICES], [_links(suite, results, place) for suite in suites]),
        *(f"![{name}]({place}/{name}.png)" for name in ("scaling", "targets") if (folder / f"{name}.png").is_file()),
    ]
    path.write_text("\n\n".join(parts) + "\n")


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


def _rows(results: list[Measured]) -> tuple[list[list[str]], list[list[str]]]:
    """A row for every target, with what each device showed: first the headlines in their order, then the others."""
    found: dict[tuple[str, str], dict[str, str]] = {}
    for result in results:
        for target in all_targets(result):
            key = (target["what"], _bound(target["bound"], target["at_least"]))
            found.setdefault(key, {})[result["on"]] = _shown_target(target)
    for what, bound in ON_CUDA.items():
        found.setdefault((what, _bound(*bound)), {})
    rows = {key: [*key, *(values.get(device, "") for device in DEVICES)] for key, values in found.items()}
    chosen = [row for name in HEADLINES for (what, _), row in rows.items() if what == name]
    return chosen, [row for (what, _), row in rows.items() if what not in HEADLINES]


def _shown_target(target: Measured) -> str:
    text = f"{target['measured']:.3g}"
    return text if margin(target) >= 1 else f"**{text}**"


def _links(suite: str, results: list[Measured], place: str) -> list[str]:
    of_suite = {result["on"]: _origin(result) for result in results if result["suite"] == suite}
    return [f"[{suite}]({place}/{suite}.md)", *(of_suite.get(device, "") for device in DEVICES)]


def _write_page(path: Path, suite: str, results: list[Measured]) -> None:
    parts = [f"# Suite {suite}", "Written by `python -m benchmarks`; do not edit. Medians (10th to 90th percentile)."]
    for result in results:
        parts += [f"## On {result['on']}", _origin(result)]
        targets = [
            [target["what"], _bound(target["bound"], target["at_least"]), _shown_target(target)]
            for target in all_targets(result)
        ]
        parts += [_table(["target", "bound", "measured"], targets)] if targets else []
        for record in result["records"]:
            parts += _record(record)
    path.write_text("\n\n".join(parts) + "\n")


def _bound(bound: float, at_least: bool) -> str:
    return f"{'>=' if at_least else '<='} {bound:g}"


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

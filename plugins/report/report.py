"""The job that writes a report of runs: one HTML file, which needs no network."""

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from emprot_core.contracts import Data, ReadsStores, SeenWindows
from emprot_core.data.store import TrajectoryStore
from emprot_core.errors import EmprotError
from emprot_core.evaluation.forecast import ModelForecast
from emprot_core.evaluation.seen_windows import look
from emprot_core.files import write_atomically
from emprot_core.jobs.compare import compare
from emprot_core.jobs.context import RunContext
from emprot_core.jobs.forward import outputs_of
from emprot_core.jobs.load import StoredRun
from emprot_core.jobs.settings import ComparisonRefused, runs_of
from emprot_core.registry import register

from .drawn_figures import kept_classes, kinetics_tables
from .figures import Figure, curves, gains, gains_by_protein, reliability, skill
from .page import fill, paragraph, place, plotly_javascript, table
from .residue_figures import maps, trace, tracks
from .run_facts import RunFacts, names_of, nll_by_residue, read_facts
from .sections import differences, making, scores, verdict

_log = logging.getLogger("emprot")


@register("job")
class Report:
    """Writes one HTML page about runs: verdict, skill, curves, residues, structure, and how they were made.

    The page holds all it needs, and every figure's numbers as CSV. Figures of residues are about the first test
    trajectory, of which up to 64 windows are forecast anew; without the data of a run they are left out, which is told.
    """

    def __init__(self, run: str | Sequence[str], output: str | None = None):
        """
        Args:
            run: the directory of a run, finished or not, or of a sweep, or several.
            output: the HTML file; None means report.html in the first of them.

        Raises:
            EmprotError: no run is given.
        """
        given = [run] if isinstance(run, str) else list(run)
        self._directories = runs_of(given)
        if not self._directories:
            raise EmprotError(f"Report.run is {run!r}, expected the directory of a run or of a sweep, or several")
        self._output = Path(given[0]) / "report.html" if output is None else Path(output)

    def run(self, context: RunContext) -> None:
        """
        Raises:
            ModuleNotFoundError: plotly is not installed.
            EmprotError: there is no such run, or a file of it is damaged.
        """
        plotly_javascript()  # before the work
        page = self.page(context.device)
        write_atomically(self._output, page.encode())
        _log.info("report of %s: %s", ", ".join(self._directories), self._output)

    def page(self, device: torch.device) -> str:
        """The HTML; the models run on `device`."""
        names = names_of(self._directories)
        stored = [StoredRun(directory) for directory in self._directories]
        runs = [read_facts(run, name) for run, name in zip(stored, names, strict=True)]
        data, notes = _data_of(stored, names)
        seen = {name: _look(run, data[name], device) for run, name in zip(stored, names, strict=True) if name in data}
        found = {name: each for name, each in seen.items() if each is not None}
        figures, sections = _Figures(), {"Verdict": verdict(runs)}
        sections["Skill"] = figures.pairs([skill(runs), *(gains(run, i) for i, run in enumerate(runs))])
        sections["Skill"] += figures.pairs(gains_by_protein(run, i) for i, run in enumerate(runs))
        sections["Skill"] += "".join(map(scores, runs))
        sections["Residues"] = "".join(map(paragraph, notes)) + _residues(runs, found, figures)
        sections["Training and calibration"] = figures.pairs(
            [curves(runs), reliability({name: each.bins for name, each in found.items()})]
        )
        if drawn := _drawn(runs, data, figures):
            sections["Rollouts and kinetics"] = drawn
        comparison = self._comparison() if len(runs) > 1 else None
        if comparison is not None:
            sections["What differs"] = differences(comparison)
        sources = {name: _sources(own) for name, own in data.items()}
        sections["How it was made"] = "".join(making(run, sources.get(run.name, [])) for run in runs)
        facts = {"runs": [_record(run) for run in runs], "comparison": comparison}
        return fill(f"EMPROT: {', '.join(names)}", sections, figures.all, facts)

    def _comparison(self) -> dict[str, Any] | str:
        try:
            return compare(self._directories)
        except ComparisonRefused as refusal:
            return str(refusal)


class _Figures:
    """Collects the figures of the page, in its order."""

    def __init__(self) -> None:
        self.all: list[Figure] = []

    def place(self, figure: Figure | None) -> str:
        self.all += [figure] if figure else []
        return place(figure)

    def pairs(self, figures: Any) -> str:
        """Figures beside each other where there is room."""
        return f'<div class="pair">{"".join(map(self.place, figures))}</div>'


def _data_of(stored: Sequence[StoredRun], names: Sequence[str]) -> tuple[dict[str, Data], list[str]]:
    """The data of each run that are at hand, and a note on each that are not."""
    data, notes = {}, []
    for run, name in zip(stored, names, strict=True):
        try:
            data[name] = run.data()
        except EmprotError as error:
            notes.append(f"{name} has no figures of residues, as its data are not at hand: {error}.")
    return data, notes


def _look(run: StoredRun, data: Data, device: torch.device) -> SeenWindows | None:
    model: Any = run.model().to(device)
    return look(ModelForecast([outputs_of(model)], device), data, model.future_horizon)


def _sources(data: Data) -> list[dict[str, Any]]:
    """Where the trajectories in the stores of data come from: records such as {"package", "version", "licence"}."""
    places = data.places_of_stores() if isinstance(data, ReadsStores) else []
    return [source for place in places for source in TrajectoryStore(place.directory).sources]


def _residues(runs: Sequence[RunFacts], seen: dict[str, SeenWindows], figures: _Figures) -> str:
    html = ""
    for i, run in enumerate(runs):
        if run.name not in seen:
            continue
        own, best = seen[run.name], (run.test or {}).get("best_baseline")
        nll = nll_by_residue(run, own.trajectory)
        html += figures.place(tracks(run.name, i, own, nll, best))
        html += figures.pairs([trace(run.name, i, own), maps(run.name, i, own)])
    if not any(figure.name == "trace" for figure in figures.all):
        html += '<p id="trace">The structure of the first run is not known, so that there is no picture of it.</p>'
    return html


def _drawn(runs: Sequence[RunFacts], data: dict[str, Data], figures: _Figures) -> str:
    html = ""
    for i, run in enumerate(runs):
        for j, drawn in enumerate(run.drawn):
            html += figures.place(kept_classes(run, drawn, data.get(run.name), f"rollouts-{i}-{j}"))
            for title, heads, rows, warning in kinetics_tables(drawn):
                html += table(heads, rows, f"{run.name}, {title}") + (paragraph(warning) if warning else "")
    return html


def _record(run: RunFacts) -> dict[str, Any]:
    """What the page keeps of a run as it is in its files."""
    return {"name": run.name, "directory": run.directory, "result": run.result, "settings": run.settings}

"""jobs.Report: one page whose numbers are those of the run, from the command line, from Python, and at a run's end."""

import csv
import json
import re
import sys
from pathlib import Path

import numpy as np
import plotly.graph_objects as go
import pytest
from report_pages import facts_of, figures_of, ids_of
from run_commands import DEBUG, bind, result
from small_stores import write_first_store

import emprot_core
from emprot_core.cli import main

SHORT = [DEBUG, *bind("Train.baselines=[@baselines.markov(), @baselines.persistence()]", "Trainer.max_steps=2")]


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """Two runs of two steps that differ in the learning rate, and the page of both."""
    folder = tmp_path_factory.mktemp("runs")
    assert main([*SHORT, f"run.directory={folder}/a"]) == 0
    assert main([*SHORT, f"run.directory={folder}/b", "adamw.learning_rate=1e-2"]) == 0
    assert main(["--report", f"{folder}/a", f"{folder}/b"]) == 0
    return folder


@pytest.fixture
def page(folder) -> Path:
    return folder / "a" / "report.html"


def without_plotly(monkeypatch) -> None:
    for name in [name for name in sys.modules if name.split(".")[0] == "plotly"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "plotly", None)


def test_the_page_holds_the_results_of_both_runs(folder, page) -> None:
    for run, name in zip(facts_of(page)["runs"], "ab", strict=True):
        expected = result(f"{folder}/{name}")
        del expected["sha256"]
        assert run["name"] == name
        assert run["result"] == expected


def test_the_figures_of_skill_hold_the_numbers_of_the_results(folder, page) -> None:
    figures = figures_of(page)
    for number, name in enumerate("ab"):
        test = result(f"{folder}/{name}")["test"]
        assert figures["skill"]["columns"][f"model {name}"] == test["model"]["nll_bits"]
        columns = figures[f"gains-{number}"]["columns"]
        assert columns["baseline"] == ["markov (best)"] * 4
        assert [columns[key] for key in ("bits", "low", "high")] == [
            test["gains"]["markov"][key] for key in ("bits", "low", "high")
        ]
        shown = figures[f"gains-{number}"]["data"]
        assert [trace["x"] for trace in shown] == [[bits] for bits in test["gains"]["markov"]["bits"]]
    assert figures["skill"]["columns"]["markov"] == test["baselines"]["markov"]["nll_bits"]


def test_the_curves_hold_every_validation(folder, page) -> None:
    columns = figures_of(page)["curves"]["columns"]
    rows = [row for row in zip(*columns.values(), strict=True) if row[:2] == ("b", "validation")]
    lines = [json.loads(line) for line in (folder / "b" / "metrics.jsonl").read_text().splitlines()]
    assert [row[2:] for row in rows] == [(line["step"], line["val/total_loss"]) for line in lines]


def test_change_probabilities_are_those_of_a_forecast(folder, page, tmp_path) -> None:
    """The same by another way: residues.csv of jobs.Forecast."""
    arguments = [f"Forecast.run={folder}/a", f"Forecast.output={tmp_path}", "Forecast.rollouts=0"]
    assert main(["--gin_file=forecast.gin", *arguments]) == 0
    with (tmp_path / "residues.csv").open() as file:
        rows = [row for row in csv.DictReader(file) if row["horizon"] == "1"]
    figures = figures_of(page)
    for columns, key in (
        (figures["trace"]["columns"], "change_probability"),
        (figures["tracks-0"]["columns"], "change_probability"),
    ):
        found = np.array(columns["change probability"], float)
        expected = np.array([row[key] or "nan" for row in rows], float)
        np.testing.assert_allclose(found, expected, atol=1e-5)
    rates = np.array([row["change_rate"] or "nan" for row in rows], float)
    np.testing.assert_allclose(np.array(figures["tracks-0"]["columns"]["change rate"], float), rates, atol=1e-5)
    surprise = np.array([row["surprise_bits"] or "nan" for row in rows], float)
    found = np.array(figures["tracks-0"]["columns"]["NLL of model, bits"], float)
    np.testing.assert_allclose(found, surprise, atol=1e-4)
    assert figures["trace"]["columns"]["residue"][0] == "TYR 38"


def test_the_trace_is_cut_where_the_chain_is_broken_and_grey_where_there_is_no_forecast(page) -> None:
    whole, coloured = figures_of(page)["trace"]["data"]
    points = np.array([whole[axis] for axis in "xyz"], float).T
    bonds = np.linalg.norm(np.diff(points, axis=0), axis=1)
    assert np.nanmax(bonds) < 4.6
    assert np.isnan(points).any()  # the receptor lacks a loop
    missing = figures_of(page)["trace"]["columns"]["change probability"].count(None)
    assert coloured["x"].count(None) - whole["x"].count(None) == missing == 8  # four of chain ends, four at the loop


def test_confidence_and_accuracy_of_the_reliability_are_those_of_the_run(folder, page) -> None:
    columns = figures_of(page)["reliability"]["columns"]
    own = [row[1:] for row in zip(*columns.values(), strict=True) if row[0] == "a"]
    hits, targets = (sum(values) for values in zip(*((accuracy * n, n) for _, accuracy, n in own), strict=True))
    assert hits / targets == pytest.approx(result(f"{folder}/a")["test"]["model"]["accuracy"][0])


def test_every_figure_is_one_that_plotly_takes_and_has_columns_of_one_length(page) -> None:
    for figure in figures_of(page).values():
        go.Figure(figure["data"], figure["layout"])  # refuses unknown properties and values
        assert len({len(column) for column in figure["columns"].values()}) == 1


def test_every_element_has_an_id_of_its_own_and_each_figure_a_place(page) -> None:
    ids = ids_of(page)
    assert len(set(ids)) == len(ids)
    assert {"verdict", "trace", "trace-1", *figures_of(page)} <= set(ids)


def test_the_page_is_small_and_loads_nothing(page) -> None:
    text = page.read_text()
    assert page.stat().st_size <= 6_000_000
    body = re.sub(r"<script.*?</script>|<style>.*?</style>|<pre>.*?</pre>", "", text, flags=re.DOTALL)
    assert set(re.findall(r'(?:src|href)="([^"#]*)', body)) == {"data:,", ""}


def test_two_runs_show_what_differs(page) -> None:
    comparison = facts_of(page)["comparison"]
    assert [setting["name"] for setting in comparison["settings"]] == ["optimizers.adamw.learning_rate"]
    assert "optimizers.adamw.learning_rate: 0.003" in page.read_text()


def test_runs_that_cannot_be_compared_are_still_shown(folder, tmp_path) -> None:
    other = tmp_path / "other"
    assert main([*SHORT, f"run.directory={other}", "ByTime.test=0.1", "ByTime.train=0.8"]) == 0
    assert main(["--report", f"{folder}/a", str(other), "--output", str(tmp_path / "page.html")]) == 0
    facts = facts_of(tmp_path / "page.html")
    assert "were scored on other test windows" in facts["comparison"]
    assert [run["name"] for run in facts["runs"]] == ["a", "other"]


def test_names_cannot_end_the_script_that_holds_the_numbers(tmp_path) -> None:
    run = tmp_path / "a<b>" / "script"
    assert main([*SHORT, f"run.directory={run}", "ByTime.test=0.0"]) == 0
    other = tmp_path / "<!--<script>" / "script"
    run.parent.rename(other.parent)
    assert main(["--report", str(other), "--output", str(tmp_path / "page.html")]) == 0
    text = (tmp_path / "page.html").read_text()
    assert "<!--<script>" not in text
    assert facts_of(tmp_path / "page.html")["runs"][0]["directory"] == str(other)


def test_a_run_that_has_not_ended_has_no_verdict_and_still_a_page(folder, tmp_path) -> None:
    (folder / "a" / "result.json").rename(tmp_path / "result.json")
    try:
        assert main(["--report", f"{folder}/a", "--output", str(tmp_path / "page.html")]) == 0
    finally:
        (tmp_path / "result.json").rename(folder / "a" / "result.json")
    assert "no verdict, as the run is unfinished" in (tmp_path / "page.html").read_text()
    assert "skill" not in figures_of(tmp_path / "page.html")


def test_without_a_structure_or_without_the_store_the_rest_is_shown(tmp_path) -> None:
    store, run, page = tmp_path / "store", tmp_path / "run", tmp_path / "run" / "report.html"
    write_first_store(store)
    here = ["TrajectoryWindows.trajectories=None", f"TrajectoryWindows.store={store}", "NUM_RESIDUES=0", "HISTORY=4"]
    assert main([*SHORT, *here, f"run.directory={run}", "NUM_CLUSTERS=6", "TrajectoryWindows.stride=1"]) == 0
    assert main(["--report", str(run)]) == 0
    assert figures_of(page)["tracks-0"]["columns"]["name"][:2] == ["residue 0", "residue 1"]
    assert (ids_of(page).count("trace"), "trace" in figures_of(page)) == (1, False)
    store.rename(tmp_path / "elsewhere")
    assert main(["--report", str(run)]) == 0
    assert "its data are not at hand" in page.read_text()
    assert (ids_of(page).count("trace"), set(figures_of(page))) == (1, {"skill", "gains-0", "proteins-0", "curves"})


def test_damaged_scores_are_named(folder, tmp_path, capsys) -> None:
    scores = folder / "a" / "scores-test.npz"
    whole = scores.read_bytes()
    scores.write_bytes(whole[: len(whole) // 2])
    try:
        assert main(["--report", f"{folder}/a", "--output", str(tmp_path / "page.html")]) == 1
    finally:
        scores.write_bytes(whole)
    told = capsys.readouterr().err
    assert f"{scores} is damaged" in told
    assert "--verify" in told


def test_without_plotly_one_line_names_the_extra(folder, tmp_path, monkeypatch, capsys) -> None:
    without_plotly(monkeypatch)
    assert main(["--report", f"{folder}/a", "--output", str(tmp_path / "page.html")]) == 1
    assert "error: Report needs plotly; pip install 'emprot[report]'" in capsys.readouterr().err
    assert not (tmp_path / "page.html").exists()


def test_a_run_writes_its_report_when_asked_to(tmp_path, monkeypatch, caplog) -> None:
    monkeypatch.chdir(tmp_path)
    assert main([*SHORT, "Train.report=True"]) == 0
    assert facts_of(Path("runs/debug/report.html"))["runs"][0]["result"]["status"] == "finished"
    assert caplog.messages[-1].startswith("verdict: ")
    without_plotly(monkeypatch)
    assert main([*SHORT, "Train.report=True", "run.directory=runs/second"]) == 0
    assert result("runs/second")["status"] == "finished"
    (told,) = [record for record in caplog.records if "plotly" in record.message]
    assert told.levelname == "WARNING"
    assert "emprot-run --report runs/second" in told.message


def test_from_python_the_path_of_the_page_is_given(folder, tmp_path) -> None:
    path = emprot_core.report(folder / "b", output=tmp_path / "b.html")
    assert path == tmp_path / "b.html"
    assert [run["name"] for run in facts_of(path)["runs"]] == ["b"]


def test_output_goes_with_report(capsys) -> None:
    assert main([DEBUG, "--output", "page.html"]) == 2
    assert "--output goes with --report" in capsys.readouterr().err


def test_a_directory_without_a_run_is_named(tmp_path, capsys) -> None:
    assert main(["--report", str(tmp_path)]) == 1
    assert f"{tmp_path} holds no run" in capsys.readouterr().err


def test_rollouts_and_kinetics_of_a_forecast_in_the_run_are_shown(folder, tmp_path) -> None:
    forecast = [f"Forecast.run={folder}/b", f"Forecast.output={folder}/b/forecast", "Forecast.kinetics=True"]
    assert main(["--gin_file=forecast.gin", *forecast, "Forecast.rollouts=2", "Forecast.rollout_frames=20"]) == 0
    assert main(["--report", f"{folder}/b", "--output", str(tmp_path / "page.html")]) == 0
    columns = figures_of(tmp_path / "page.html")["rollouts-0-0"]["columns"]
    assert set(columns) == {"frame", "seed0", "seed1", "simulation"}
    assert columns["seed0"][0] == columns["simulation"][0] == 1.0
    kinetics = json.loads((folder / "b" / "forecast" / "kinetics.json").read_text())
    value = next(iter(kinetics.values()))["rows"]["rollouts"]["change_rate_ratio"]
    assert f'<td class="number">{value:.3f}</td>' in (tmp_path / "page.html").read_text()

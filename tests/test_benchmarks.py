"""The benchmarks: what they compare is alike, ratios keep a generous bound, and the report says what was measured."""

import importlib
import json
import sys
import time
from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch

from benchmarks import __main__ as command
from benchmarks import dispatch, e2e_forms, loader, loop, prefetch, replayed, scaling, startup, targets
from benchmarks.__main__ import HERE, SUITES
from benchmarks.measured import measure_suite
from benchmarks.pictures import write_pictures
from benchmarks.report import compare, write_report
from benchmarks.step import SMALL
from benchmarks.targets import HEADLINES, MFU, target_on_cuda
from emprot_core.batch import target_mask


def result(suite: str, median: float, measured: float = 0.5, at_least: bool = False) -> dict:
    times = {"ours": {"median_ms": median, "p10_ms": median / 2, "p90_ms": median * 2}}
    target = {"what": f"{suite} ratio", "bound": 1.0, "at_least": at_least, "measured": measured}
    record = {"name": "case", "B": 4, "times": times, "ratios": {"a / b": 2.0}, "targets": [target]}
    machine = {"device": "a processor", "torch": "2", "commit": "abc", "measured": "2026-01-01"}
    return {"suite": suite, **machine, "records": [record]}


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "cpu-loop.json").write_text(json.dumps(result("loop", 2.0)))
    (tmp_path / "cuda-loader.json").write_text(json.dumps(result("loader", 3.0, at_least=True)))
    return tmp_path


@pytest.mark.slow
@pytest.mark.no_cover  # times are measured
def test_the_loop_takes_less_than_the_hand_written_one_with_the_same_losses() -> None:
    record = loop.measure("1 ms step", ["EMPROT"], num_steps=120, num_rounds=7)
    assert record["ratios"]["EMPROT / hand-written"] < 0.9
    assert record["largest_relative_difference_of_a_loss"] < 1e-6


@pytest.mark.slow
@pytest.mark.no_cover  # times are measured
def test_the_loader_is_far_faster_than_a_dataset_and_gives_the_same_batches() -> None:
    record = loader.measure(num_batches=80, num_rounds=5)  # check_alike compares every batch
    assert record["ratios"]["WindowLoader: Dataset + padding collate takes"] > 5


@pytest.mark.slow
@pytest.mark.no_cover  # times are measured
def test_an_event_costs_little_and_one_that_nobody_handles_next_to_nothing() -> None:
    times = dispatch.measure(num_events=2_000, num_rounds=5)["times"]
    assert times["10 hooks"]["median_ms"] < 5e-3
    assert times["nobody"]["median_ms"] < times["10 hooks"]["median_ms"] / 2


@pytest.mark.slow
@pytest.mark.no_cover  # times are measured
def test_starts_take_little_beside_the_import_of_torch() -> None:
    ratios = startup.measure_starts(num_rounds=3)["ratios"]
    assert ratios.keys() == targets.STARTUP.keys()
    assert not {what: ratio for what, ratio in ratios.items() if ratio > 1.3 * targets.STARTUP[what]}


def test_a_peer_that_is_not_installed_is_listed(monkeypatch) -> None:
    monkeypatch.setattr(loop, "PEERS", {"no_such_library": "ignite_loop"})
    assert loop.find_peers() == ([], ["no_such_library"])


def test_the_front_page_has_the_headlines_and_what_is_missed(folder) -> None:
    headline = result("loop", 2.0, measured=0.5)
    headline["records"][0]["targets"][0] |= {"what": HEADLINES[1], "bound": 0.72}
    (folder / "cpu-step.json").write_text(json.dumps(headline))
    write_report(folder, folder / "RESULTS.md")
    text = (folder / "RESULTS.md").read_text()
    assert f"| {HEADLINES[1]} | <= 0.72 | 0.5 |  |" in text
    assert f"| {MFU} | >= 0.5 |  |  |" in text
    assert "Of 2 further targets 1 are met." in text
    assert "| loader ratio | >= 1 |  | **0.5** |" in text
    assert "loop ratio" not in text
    assert "[loop](./loop.md)" in text


def test_the_page_of_a_suite_has_all_its_figures(folder) -> None:
    write_report(folder, folder / "RESULTS.md")
    text = (folder / "loop.md").read_text()
    assert "| loop ratio | <= 1 | 0.5 |" in text
    assert "| ours | 2 | 1 to 4 |" in text


def test_the_front_page_of_what_is_measured_fits_two_screens() -> None:
    assert len((HERE / "RESULTS.md").read_text().splitlines()) <= 100


def test_a_figure_from_cuda_takes_the_empty_place_of_its_target(folder) -> None:
    measured = result("step", 1.0)
    measured["records"][0]["targets"] = [target_on_cuda(MFU, 0.625)]
    (folder / "cuda-step.json").write_text(json.dumps(measured))
    write_report(folder, folder / "RESULTS.md")
    rows = [line for line in (folder / "RESULTS.md").read_text().splitlines() if line.startswith(f"| {MFU}")]
    assert rows == [f"| {MFU} | >= 0.5 |  | 0.625 |"]


def test_two_results_are_compared_form_by_form(folder, tmp_path) -> None:
    (tmp_path / "after.json").write_text(json.dumps(result("loop", 3.0)))
    assert "| case | ours | 2 | 3 | 1.50 |" in compare(folder / "cpu-loop.json", tmp_path / "after.json")


def test_without_matplotlib_the_extra_is_named(folder, monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(ImportError, match=r"emprot\[bench\]"):
        write_pictures(folder)


@pytest.mark.parametrize("device", ["cpu", "cuda"])
def test_every_suite_is_a_module_with_a_run(device) -> None:
    assert len(set(SUITES[device])) == len(SUITES[device])
    for suite in SUITES[device]:
        assert callable(importlib.import_module(f"benchmarks.{suite}").run)


@pytest.fixture
def broken(monkeypatch) -> None:
    """A suite that measures one record and then fails."""

    def run(device: str):
        yield result("broken", 1.0)["records"][0]
        raise RuntimeError("out of memory")

    monkeypatch.setitem(sys.modules, "benchmarks.broken", SimpleNamespace(run=run))


def test_a_suite_that_fails_leaves_what_it_measured_and_says_why(broken, tmp_path, capsys) -> None:
    assert not measure_suite("broken", "cpu", tmp_path)
    measured = json.loads((tmp_path / "cpu-broken.json").read_text())
    assert [record["name"] for record in measured["records"]] == ["case"]
    assert measured["error"] == "RuntimeError: out of memory"
    write_report(tmp_path, tmp_path / "RESULTS.md")
    assert "not complete: RuntimeError: out of memory" in (tmp_path / "RESULTS.md").read_text()


def test_suites_that_do_not_fit_the_budget_are_cut_short_or_left_out(monkeypatch, tmp_path, capsys) -> None:
    program = f"""
import json, multiprocessing, pathlib, time
pathlib.Path({str(tmp_path / "cpu-slow.json")!r}).write_text(json.dumps({{"records": []}}))
time.sleep(60)
"""
    popen = command.subprocess.Popen
    monkeypatch.setattr(command, "SUITES", {"cpu": ("slow", "late")})
    monkeypatch.setattr(command, "LEAST_S", 1.0)
    monkeypatch.setattr(
        command.subprocess, "Popen", lambda _, **options: popen([sys.executable, "-c", program], **options)
    )
    start = time.monotonic()
    assert command.run_all("cpu", tmp_path, budget_s=1.5)
    assert time.monotonic() - start < 30
    said = capsys.readouterr().err
    assert "slow: cut short" in said
    assert "late: left out" in said
    assert "cut short by the budget" in json.loads((tmp_path / "cpu-slow.json").read_text())["error"]


def test_the_works_of_cuda_suites_run_on_a_cpu_too() -> None:
    tiny = replace(SMALL, D=16, num_layers=1, N=20)
    replay = replayed.measure(tiny, "cpu", has_target=True, num_steps=2, num_rounds=2)
    assert {target["what"] for target in replay["targets"]} == {targets.HOOKS_OVER_GRAPH}
    assert len(prefetch.measure("cpu", num_batches=2, num_rounds=2, size=16)["ratios"]) == 4


def test_batches_that_are_moved_one_ahead_are_the_same(make_batch) -> None:
    batches = [make_batch(seed=seed) for seed in range(3)]
    moved = list(prefetch.one_ahead(iter(batches), torch.device("cpu")))
    assert [id(batch["input_cluster_ids"]) for batch in moved] == [id(b["input_cluster_ids"]) for b in batches]


@pytest.mark.parametrize(("name", "past"), [("base.gin", 0), ("experts.gin", 200)])
def test_the_plain_dataset_of_whole_trainings_gives_our_windows(name, past) -> None:
    task = e2e_forms.Task(name, 1, torch.device("cpu"))
    _, theirs = task.loaders()
    for ours, plain in zip(task.job.data.loader("validation"), theirs, strict=True):
        for key, value in plain.items():
            expected = ours[key]
            if key in ("input_cluster_ids", "history_mask"):
                expected = expected[:, -(past + 10) :]
            if key == "future_cluster_ids":  # those outside the split do not count
                value, expected = (ids[ours["future_step_mask"]] for ids in (value, expected))
            assert torch.equal(value, expected), key


@pytest.mark.parametrize("name", ["base.gin", "axial.gin"])
def test_a_plain_model_learns_from_the_same_batches(name) -> None:
    task = e2e_forms.Task(name, 1, torch.device("cpu"))
    model, (train, _) = task.model(), task.loaders()
    optimizer, _ = task.optimizer(model, 10)
    batch, losses = next(iter(train)), []
    for _ in range(4):
        loss, number = e2e_forms.loss_of(model, batch)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        losses.append(loss.item())
    assert number == int(target_mask(batch).sum())
    assert losses[3] < losses[0]


def test_slopes_are_those_of_the_larger_half() -> None:
    assert scaling.slope((1, 10, 100, 1000), [7.0, 7.0, 1e4, 1e6]) == pytest.approx(2)
    found = [{"seconds": [0.1 + size**2 / 1e4] * 2, "peak_mb": 3.0 * size} for size in (1, 10, 100, 1000)]
    axis = scaling.Axis("n", (1, 10, 100, 1000), int, lambda n: n**1.5, "n^1.5")
    of_time, of_memory = scaling.record(axis, found)["targets"]
    assert of_time["measured"] == pytest.approx(0.5, abs=0.05)
    assert of_memory["measured"] == pytest.approx(0, abs=1e-9)


def test_the_cost_of_a_step_grows_as_its_theory_says() -> None:
    assert scaling.cost_of_step(N=100) == pytest.approx(2 * scaling.cost_of_step(N=50))
    many = [scaling.cost_of_step(N=n, over_residues=True) for n in (10**7, 2 * 10**7)]
    assert many[1] / many[0] == pytest.approx(4, rel=0.01)


@pytest.mark.parametrize("axis", range(len(scaling.AXES)), ids=[axis.name for axis in scaling.AXES])
def test_every_axis_runs_at_its_smallest_size(axis) -> None:
    threads = torch.get_num_threads()
    seen = scaling.measure(axis, scaling.AXES[axis].sizes[0])
    torch.set_num_threads(threads)
    assert len(seen["seconds"]) == scaling.NUM_REPEATS

"""What TensorBoard has of a whole run: scores, verdict and pictures at the end, every step once."""

import sys
from pathlib import Path

import pytest
from run_commands import DEBUG, bind, result
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from emprot_core.cli import main

RUN = [DEBUG, "Trainer.max_steps=8", *bind("Train.baselines=[@baselines.markov(), @baselines.interpolated()]")]
PICTURES = [
    *("windows/1_truth_and_forecast", "windows/2_error_along_the_chain", "windows/3_reliability"),
    *("windows/4_confusion", "windows/5_transitions"),
]


def events_of(directory: Path) -> EventAccumulator:
    return EventAccumulator(str(directory), size_guidance={"images": 0, "scalars": 0, "tensors": 0}).Reload()


def text_of(events: EventAccumulator, tag: str) -> str:
    (event,) = events.Tensors(f"{tag}/text_summary")
    return event.tensor_proto.string_val[0].decode()


def test_the_scores_of_the_test_split_stand_at_the_last_step(tmp_path: Path) -> None:
    assert main([*RUN, f"run.directory={tmp_path}"]) == 0
    events, test = events_of(tmp_path), result(str(tmp_path))["test"]
    gain = test["gains"][test["best_baseline"]]
    told = {"gain_over_best": gain["bits"], "gain_low": gain["low"], "gain_high": gain["high"]}
    for what, values in {**told, "nll_bits": test["model"]["nll_bits"]}.items():
        for step, value in enumerate(values, 1):
            (event,) = events.Scalars(f"test/{what}/h{step}")
            assert (event.step, event.value) == (8, pytest.approx(value, rel=1e-6))
    assert text_of(events, "test/verdict").startswith("verdict: ")
    assert "gain of the model over interpolated" in text_of(events, "test/scores")
    assert events.Scalars("time/seconds")[0].value > 0
    assert events.Tags()["images"] == PICTURES
    assert [event.step for event in events.Scalars("val/total_loss")] == [6, 8]


def test_a_run_that_lost_its_end_writes_it_once(tmp_path: Path, monkeypatch) -> None:
    from emprot_core.jobs.run_directory import RunDirectory

    write = RunDirectory.write_result
    monkeypatch.setattr(RunDirectory, "write_result", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
    assert main([*RUN, f"run.directory={tmp_path}"]) == 130
    monkeypatch.setattr(RunDirectory, "write_result", write)
    assert main([*RUN, f"run.directory={tmp_path}"]) == 0
    events = events_of(tmp_path)
    assert [event.step for event in events.Scalars("test/nll_bits/h1")] == [8]
    assert [event.step for event in events.Scalars("skill/loss/val")] == [6, 8]
    assert len(events.Images(PICTURES[0])) == 1


def test_without_matplotlib_all_but_the_pictures_is_there_and_one_line_names_the_extra(
    tmp_path: Path, monkeypatch, capsys
) -> None:
    for name in ("matplotlib", "matplotlib.figure", "matplotlib.backends.backend_agg"):
        monkeypatch.setitem(sys.modules, name, None)
    monkeypatch.delitem(sys.modules, "emprot_plugins.hooks._pictures", raising=False)
    assert main([*RUN, f"run.directory={tmp_path}"]) == 0
    events = events_of(tmp_path)
    assert (events.Tags()["images"], len(events.Scalars("test/nll_bits/h1"))) == ([], 1)
    assert capsys.readouterr().err.count("pip install 'emprot[figures]'") == 1


def test_a_picture_that_fails_costs_nothing_but_itself(tmp_path: Path, monkeypatch, capsys) -> None:
    from emprot_plugins.hooks import _pictures

    monkeypatch.setattr(_pictures, "pictures_of", lambda seen: 1 / 0)
    assert main([*RUN, f"run.directory={tmp_path}"]) == 0
    assert events_of(tmp_path).Tags()["images"] == []
    assert "TensorBoard has no pictures: ZeroDivisionError" in capsys.readouterr().err

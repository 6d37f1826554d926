"""A killed run of which a file is gone: it goes on to the same bits or refuses by name, and nothing else disappears."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from runs_in_forks import RUN, assert_same_outcome, bind, output

FILES = [
    "checkpoints/index.json",
    "checkpoints",
    "checkpoints/step-*.pt",
    "checkpoints/best.pt",
    "metrics.jsonl",
    "steps.bin",
    "config.gin",
    "events.out.tfevents*",
]
LOSSES = ["removed", "dangling", "truncated"]


def lose(path: Path, loss: str) -> None:
    if loss == "truncated":
        for file in path.iterdir() if path.is_dir() else [path]:
            file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
        return
    shutil.rmtree(path) if path.is_dir() else path.unlink()
    if loss == "dangling":
        path.symlink_to("/nowhere/at/all")


def contents(directory: Path) -> Iterator[bytes]:
    """Checkpoints, metrics and events, wherever they lie; a log file that grew counts as what it began with."""
    for pattern in ("**/*.pt", "**/metrics.jsonl*", "**/steps.bin*", "**/events.out*"):
        for path in sorted(directory.glob(pattern)):
            if path.is_file():
                yield path.read_bytes()


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("name", FILES)
def test_a_run_that_lost_a_file_goes_on_to_the_same_bits_or_refuses(runs, whole, killed, tmp_path, name, loss) -> None:
    shutil.copytree(killed, tmp_path / "run")
    lost = tmp_path / "run" / sorted(killed.glob(name))[-1].relative_to(killed)
    lose(lost, loss)
    before = list(contents(tmp_path / "run"))
    status = runs(tmp_path, RUN)
    text = output(tmp_path)
    if status == 2:
        assert "holds a run, but none of its checkpoints can be read" in text
        assert "--fresh" in text
        assert list(contents(tmp_path / "run")) == before
        return
    assert status == 0, text
    assert "going on from run/checkpoints/" in text
    is_log = name in ("metrics.jsonl", "steps.bin", "events.out.tfevents*")
    if is_log:  # what was in it before the kill cannot be had again
        assert lost.name in text
        results = [json.loads((run / "result.json").read_text()) for run in (tmp_path / "run", whole)]
        assert results[0]["best"] == results[1]["best"]
        return
    assert_same_outcome(tmp_path / "run", whole)


@pytest.mark.parametrize("name", ["checkpoints/index.json", "checkpoints"])
def test_a_run_without_its_checkpoints_is_never_begun_anew_in_silence(runs, killed, tmp_path, name) -> None:
    shutil.copytree(killed, tmp_path / "run")
    lose(tmp_path / "run" / "checkpoints", "removed")
    if name == "checkpoints/index.json":
        (tmp_path / "run" / "checkpoints").mkdir()
    assert runs(tmp_path, RUN) == 2
    assert "index.json is missing or damaged" in output(tmp_path)
    assert "is the disk with them mounted?" in output(tmp_path)


def test_a_run_killed_before_its_first_checkpoint_begins_anew_and_keeps_what_was_there(runs, whole, tmp_path) -> None:
    assert runs(tmp_path, RUN, SABOTAGE="emprot_core.training.updates:Updates.step 2 before") == -9
    assert runs(tmp_path, RUN) == 0, output(tmp_path)
    assert "no checkpoint was written yet" in output(tmp_path)
    assert list((tmp_path / "run" / "aside-1").glob("events.out.*"))
    assert_same_outcome(tmp_path / "run", whole)


def test_files_of_another_tool_are_moved_aside_and_named(runs, tmp_path) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "metrics.jsonl").write_text("another tool's\n")
    (tmp_path / "run" / "events.out.tfevents.1.other").write_bytes(b"another tool's")
    assert runs(tmp_path, [*RUN, *bind("Trainer.max_steps=2")]) == 0, output(tmp_path)
    kept = {path.name: path.read_bytes() for path in (tmp_path / "run").glob("aside-*/*")}
    assert kept == {"metrics.jsonl": b"another tool's\n", "events.out.events.1.other": b"another tool's"}
    assert "moved aside into run/aside-1" in output(tmp_path)

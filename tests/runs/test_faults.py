"""Runs on torn files, full disks and bad data: what is wrong is named, the rest is used, no bit changes."""

import json
import os
import random
import shutil
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from runs_in_forks import DEBUG, RUN, assert_same_outcome, bind, output

from emprot_core.contracts import Vocabulary
from emprot_core.data.store import StoreWriter
from emprot_core.jobs.verify import verify_run


def flip_a_bit(path: Path, generator: random.Random, size: int | None = None) -> None:
    data = bytearray(path.read_bytes())
    data[generator.randrange(size or len(data))] ^= 1 << generator.randrange(8)
    path.write_bytes(data)


def test_a_bit_flipped_in_any_file_of_a_finished_run_is_named(whole: Path, tmp_path: Path) -> None:
    generator = random.Random(0)
    names = [str(path.relative_to(whole)) for path in whole.rglob("*") if path.is_file() and path.stat().st_size]
    assert len(names) > 8
    for name in sorted(set(names) - {"run.log"}):  # which is for people, and not checked
        shutil.copytree(whole, tmp_path / "run", dirs_exist_ok=True)
        flip_a_bit(tmp_path / "run" / name, generator)
        damaged = [line for line in verify_run(tmp_path / "run") if "damaged" in line]
        assert len(damaged) == 1, (name, damaged)
        assert damaged[0].startswith(f"{name}: damaged")


@pytest.mark.parametrize(
    "name",
    [
        "checkpoints/step-00000010.pt",
        "checkpoints/best.pt",
        "checkpoints/index.json",
        "config.gin",
        "metrics.jsonl",
        "events*",
    ],
)
def test_a_run_with_a_flipped_bit_in_any_file_ends_with_the_same_bits(runs, whole, killed, tmp_path, name: str) -> None:
    (original,) = killed.glob(name)
    flipped = tmp_path / "run" / original.relative_to(killed)
    shutil.copytree(killed, tmp_path / "run")
    is_log = name in ("metrics.jsonl", "steps.bin", "events*")
    flip_a_bit(flipped, random.Random(1), original.stat().st_size // 2 if is_log else None)
    assert runs(tmp_path, RUN) == 0, output(tmp_path)
    if name != "config.gin":  # which is written anew
        assert f"{original.name} is damaged" in output(tmp_path)
    if is_log:  # what was there before the kill cannot be had again
        kept = original.read_bytes()[: flipped.stat().st_size]
        flipped.write_bytes(kept + flipped.read_bytes()[len(kept) :])
    assert_same_outcome(tmp_path / "run", whole)


def test_a_damaged_result_is_named_and_written_anew(runs, whole: Path, tmp_path: Path) -> None:
    shutil.copytree(whole, tmp_path / "run")
    flip_a_bit(tmp_path / "run" / "result.json", random.Random(2))
    assert runs(tmp_path, RUN) == 0, output(tmp_path)
    assert "result.json is damaged" in output(tmp_path)
    assert_same_outcome(tmp_path / "run", whole)


def test_a_damaged_best_is_named_and_what_is_scored_instead_is_said(runs, tmp_path: Path) -> None:
    diverging = [*DEBUG, *bind("adamw.learning_rate=1.0", "Trainer.validate_every_steps=1")]
    scoring = "emprot_core.jobs.run_directory:RunDirectory.write_operative_config 1 before"
    assert runs(tmp_path, diverging, SABOTAGE=scoring) == -signal.SIGKILL
    flip_a_bit(tmp_path / "run" / "checkpoints" / "best.pt", random.Random(3))
    assert runs(tmp_path, diverging) == 0, output(tmp_path)
    assert "best.pt is damaged" in output(tmp_path)
    assert "no valid checkpoint holds the best weights (step 1); the last ones are scored" in output(tmp_path)
    assert json.loads((tmp_path / "run" / "result.json").read_text())["scored_step"] == 4


@pytest.mark.parametrize("limit", [3500, 12_000, 200_000])
def test_a_full_disk_stops_a_run_with_a_clear_line_and_the_same_command_goes_on(
    runs, whole, tmp_path, limit: int
) -> None:
    assert runs(tmp_path, RUN, FILE_SIZE_LIMIT=str(limit)) == 1
    error = next(line for line in output(tmp_path).splitlines() if line.startswith("error: "))
    assert "File too large" in error
    assert "run/" in error
    assert runs(tmp_path, RUN) == 0, output(tmp_path)
    assert_same_outcome(tmp_path / "run", whole)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 0.9 MB: room for some checkpoints."""
    directory = tmp_path / "disk"
    directory.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=900k", "tmpfs", str(directory)]
    if subprocess.run(command, capture_output=True).returncode:
        pytest.skip("file systems cannot be mounted here")
    yield directory
    subprocess.run(["umount", "-l", str(directory)], check=True)


def test_on_a_full_file_system_the_checkpoints_before_stand(
    runs, whole: Path, small_disk: Path, tmp_path: Path
) -> None:
    assert runs(small_disk, RUN) == 1
    (error,) = [line for line in output(small_disk).splitlines() if line.startswith("error: ")]
    assert "No space left on device" in error
    assert not any("damaged" in line for line in verify_run(small_disk / "run"))
    shutil.copytree(small_disk / "run", tmp_path / "run")
    assert runs(tmp_path, RUN) == 0, output(tmp_path)
    assert "going on from run/checkpoints/" in output(tmp_path)
    assert_same_outcome(tmp_path / "run", whole)


def test_a_directory_that_cannot_be_written_is_named(runs, tmp_path: Path) -> None:
    (tmp_path / "run").write_text("a file in the place of the directory")
    assert runs(tmp_path, DEBUG) == 1
    assert "error: run cannot be written ([Errno 17] File exists: 'run'); bind run.directory" in output(tmp_path)
    assert "Traceback" not in output(tmp_path)


def test_a_directory_that_becomes_read_only_stops_the_run_with_a_clear_line(runs, whole, tmp_path: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("needs chattr, so root: a user's own permissions are no obstacle to root")
    checkpoints = tmp_path / "run" / "checkpoints"
    assert runs(tmp_path, RUN, SABOTAGE="emprot_core.training.updates:Updates.step 8 before") == -signal.SIGKILL
    if subprocess.run(["chattr", "+i", str(checkpoints)], capture_output=True).returncode:
        pytest.skip("this file system knows no immutable directories")
    try:
        assert runs(tmp_path, RUN) == 1
    finally:
        subprocess.run(["chattr", "-i", str(checkpoints)], check=True)
    assert "could not be written (Operation not permitted); the checkpoints before it are untouched" in output(tmp_path)
    assert runs(tmp_path, RUN) == 0, output(tmp_path)
    assert_same_outcome(tmp_path / "run", whole)


def write_store(directory: Path, change: Any = None) -> None:
    ids = np.random.default_rng(0).integers(0, 256, (60, 302))
    with StoreWriter(directory, Vocabulary("kmeans_environment-256", 256, {})) as writer:
        writer.add("prolif_a", "g", ids if change is None else change(ids))


def damage_id(directory: Path, value: int) -> None:
    shard = np.load(directory / "ids-00000.npy", mmap_mode="r+")
    shard[20 * 302 + 7] = value
    shard.flush()


@pytest.mark.parametrize(
    ("break_store", "parts"),
    [
        (lambda store: damage_id(store, 3), ["ids-00000.npy", "SHA-256"]),
        (lambda store: (store / "ids-00000.npy").write_bytes(b"x"), ["ids-00000.npy", "expected"]),
    ],
)
def test_bad_data_are_one_clear_message_and_nothing_half_written(runs, tmp_path, break_store, parts) -> None:
    write_store(tmp_path / "store")
    break_store(tmp_path / "store")
    assert runs(tmp_path, [*DEBUG, *bind("TrajectoryWindows.store='store'")]) == 1
    (error,) = [line for line in output(tmp_path).splitlines() if line.startswith("error: ")]
    assert all(part in error for part in parts)
    assert "Traceback" not in output(tmp_path)
    assert not [path for path in tmp_path.glob("run/*") if path.name not in ("run.lock", "run.log")]


def test_a_store_without_any_target_is_refused_by_name(runs, tmp_path: Path) -> None:
    write_store(tmp_path / "store", lambda ids: np.full_like(ids, -1))
    assert runs(tmp_path, [*DEBUG, *bind("TrajectoryWindows.store='store'")]) == 1
    assert "has a known target ID; the first is trajectory prolif_a" in output(tmp_path)
    assert "Traceback" not in output(tmp_path)

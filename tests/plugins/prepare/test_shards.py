"""Shards of a Prepare, in any order and whatever is killed, give the store of an undivided one."""

import os
import random
import signal
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
from emprot_plugins.prepare.encoding import Encoder, encode_trajectory
from emprot_plugins.prepare.parts import find_part
from emprot_plugins.prepare.prepare import Prepare
from emprot_plugins.prepare.publishing import held
from preparing import FrameParity, LengthReader, prepare, run, write_files

from emprot_core.cli import main
from emprot_core.data.store import StoreError, TrajectoryStore
from emprot_core.errors import EmprotError


@pytest.fixture
def files(tmp_path: Path) -> Path:
    return write_files(tmp_path)


def merge(job: Prepare) -> None:
    job.merge(None)  # type: ignore[arg-type]  # it needs nothing of the run


def digest(files: Path, output: str = "out") -> str:
    return TrajectoryStore(files.parent / output / "parity", verify=True).digest


def undivided(files: Path) -> str:
    run(prepare(files))
    whole = digest(files)
    (files.parent / "out").rename(files.parent / "whole")
    return whole


@pytest.mark.parametrize("shards", [["1/2", "2/2"], ["4/5", "1/5", "3/5", "1/5", "5/5", "2/5"]])
def test_shards_in_any_order_and_more_than_once_give_the_store_of_an_undivided_prepare(
    files: Path, shards: list[str]
) -> None:
    whole = undivided(files)
    for shard in shards:
        run(prepare(files, shard=shard))
        assert not (files.parent / "out" / "parity").exists()
    merge(prepare(files, shard="1/2"))  # the config may still hold one
    assert digest(files) == whole
    assert not (files.parent / "out" / ".parts").exists()


def test_a_merge_names_what_the_missing_shard_has_not_encoded(files: Path) -> None:
    run(prepare(files, shard="1/2"))
    with pytest.raises(
        EmprotError, match=r"1 of 3 trajectories are not encoded in .*parts: apo/r2; run the shards that"
    ):
        merge(prepare(files))
    run(prepare(files, shard="2/2"))
    merge(prepare(files))
    assert digest(files)


def test_a_run_without_shards_goes_on_with_what_shards_have_encoded(files: Path) -> None:
    whole = undivided(files)
    run(prepare(files, shard="2/2"))
    run(prepare(files))
    assert digest(files) == whole


def test_what_a_shard_skipped_a_merge_leaves_out_and_a_changed_file_counts_as_missing(files: Path) -> None:
    (files / "apo" / "r1.txt").write_text("3 12")  # more residues than the tokenizer takes
    for number in (1, 2):
        run(prepare(files, shard=f"{number}/2", on_error="skip"))
    (files / "holo" / "r1.txt").write_text("6 2")
    with pytest.raises(EmprotError, match=r"1 of 3 trajectories are not encoded in .*: holo/r1;"):
        merge(prepare(files, on_error="skip"))
    run(prepare(files, shard="1/2", on_error="skip"))
    merge(prepare(files, on_error="skip"))
    assert TrajectoryStore(files.parent / "out" / "parity").index["name"].tolist() == ["apo/r2", "holo/r1"]


@pytest.mark.parametrize("shard", ["3", "0/2", "3/2", "a/b", "1/2/3", ""])
def test_a_shard_that_is_none_is_refused(files: Path, shard: str) -> None:
    with pytest.raises(EmprotError, match=r"Prepare\.shard is '.*', expected a number and how many there are"):
        prepare(files, shard=shard)


def test_shards_share_the_output_and_a_merge_waits_for_none(files: Path) -> None:
    output = files.parent / "out"
    with held(output, is_shared=True):
        run(prepare(files, shard="1/1"))
        for begin in (merge, run):
            with pytest.raises(StoreError, match="another Prepare is writing into"):
                begin(prepare(files))
    merge(prepare(files))


def test_merge_is_refused_for_a_job_without_shards(tmp_path: Path, monkeypatch, capsys) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["--gin_file=debug.gin", "--merge"]) == 2
    assert "--merge joins what shards have made; run.job, jobs.Train" in capsys.readouterr().err


class Slow(LengthReader):
    """Waits in the middle of a file until another one has read it too."""

    def __init__(self, both: threading.Barrier) -> None:
        self.both = both

    def read(self, path: Path):
        structure = super().read(path)
        self.both.wait(timeout=20)
        return structure


def test_a_trajectory_encoded_by_two_workers_at_once_is_one_whole_part(files: Path, tmp_path: Path) -> None:
    folder = tmp_path / "parts"
    folder.mkdir()
    encoder = Encoder(Slow(threading.Barrier(2)), [FrameParity()], folder)
    task = (encoder, "apo/r1", files / "apo" / "r1.txt", "key")
    workers = [threading.Thread(target=encode_trajectory, args=task) for _ in range(2)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    part = find_part(folder, "apo/r1", "key")
    assert part is not None
    assert part.num_frames == 10
    assert sorted(path.suffix for path in folder.iterdir()) == [".ids", ".json"]


@pytest.mark.campaign
def test_of_twenty_shards_in_random_order_two_are_killed_and_given_again(tmp_path: Path) -> None:
    """Each shard is a process of emprot-run; the two are killed with -9 when they have encoded some of their share."""
    generator = np.random.default_rng(0)
    (tmp_path / "ids").mkdir()
    for number in range(120):
        np.save(tmp_path / "ids" / f"t{number}.npy", generator.integers(0, 50, (4000, 300)).astype(np.int16))
    config = ["--gin_file=prepare.gin", "Prepare.source='ids/*.npy'", "Prepare.reader=@readers.ids_npy()"]
    config += ["Prepare.tokenizers=[@tokenizers.precomputed()]", "precomputed.num_clusters=50", "Prepare.num_workers=1"]

    def start(*arguments: str) -> subprocess.Popen[bytes]:
        return subprocess.Popen([sys.executable, "-m", "emprot_core", *config, *arguments], cwd=tmp_path)

    assert start("Prepare.output=whole").wait() == 0
    shards = list(range(1, 21))
    random.Random(1).shuffle(shards)
    for place, shard in enumerate([*shards, *shards[3:5]]):
        process = start("Prepare.output=out", f"Prepare.shard='{shard}/20'")
        if place in (3, 4):
            encoded = len(list((tmp_path / "out" / ".parts").glob("*.json")))
            while len(list((tmp_path / "out" / ".parts").glob("*.json"))) <= encoded:
                assert process.poll() is None
            os.kill(process.pid, signal.SIGKILL)
            assert process.wait() == -signal.SIGKILL
            assert start("Prepare.output=out", "--merge").wait() == 1
        else:
            assert process.wait() == 0
    assert start("Prepare.output=out", "--merge").wait() == 0
    whole, merged = (TrajectoryStore(tmp_path / name / "precomputed", verify=True) for name in ("whole", "out"))
    assert merged.digest == whole.digest

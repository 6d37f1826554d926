"""What it costs to use a store of ATLAS's shape: 1,390 proteins x 3 trajectories x 10,000 frames x 250 residues.

    python -m benchmarks.large_store FOLDER --proteins 1390

writes 20.9 GB of repeated frames of the embedded sample into FOLDER, unless they are there, and prints JSON: seconds of
opening, of the first batch, of fitting and scoring the baselines, the time of a training step over that of the same
step on a small store, and the peak of memory. With fewer proteins it says what a smaller store costs. Files that the
system holds in memory are dropped first, so that they are read from the disk.
"""

import argparse
import itertools
import json
import os
import resource
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.interleave import interleaved, median_ratio
from emprot_core.command_line import config_of
from emprot_core.data.store import StoreWriter, TrajectoryStore
from emprot_core.evaluation.beside_baselines import applicable, fit, score_beside_baselines, unseen_groups
from emprot_core.jobs.counts import give_class_counts

REPLICAS, FRAMES, RESIDUES = 3, 10_000, 250
STEPS_IN_TURN, TURNS = 20, 10
CPU = torch.device("cpu")


def write_store(directory: Path, num_proteins: int, num_frames: int = FRAMES) -> None:
    """Trajectories that go to and fro over the frames of the sample, each protein with residues of its own."""
    sample = TrajectoryStore("sample:kmeans_environment")
    frames = sample.ids(int(np.argmax(sample.index["num_frames"] * sample.index["num_residues"])))
    turn = 2 * (len(frames) - 1)
    with StoreWriter(directory, sample.vocabulary, sample.sources) as writer:
        for name in sample.vocabulary_arrays:
            writer.add_array(name.removesuffix(".npy"), sample.array(name.removesuffix(".npy")))
        for protein in range(num_proteins):
            random = np.random.default_rng(protein)
            own = frames[:, random.permutation(frames.shape[1])[:RESIDUES]]
            for replica in range(REPLICAS):
                at = (random.integers(turn) + np.arange(num_frames)) % turn
                ids = own[np.minimum(at, turn - at)]
                writer.add(f"protein{protein}_R{replica + 1}", f"protein{protein}", ids, time_step_ns=0.01)


def arguments_for(store: Path) -> list[str]:
    """Of emprot-run: base.gin on a store of many proteins."""
    given = [f"TrajectoryWindows.store={str(store)!r}", "TrajectoryWindows.trajectories=None", "NUM_RESIDUES=0"]
    return ["--gin_file=base.gin", *given, "TrajectoryWindows.split=@splits.ByGroup()"]


def measure(large: Path, small: Path) -> dict[str, Any]:
    """Seconds and ratios of the large store."""
    clock = time.perf_counter()
    TrajectoryStore(large).check_hashes()
    found: dict[str, Any] = {"check_hashes_s": time.perf_counter() - clock}
    drop_from_memory(large)
    clock = time.perf_counter()
    job: Any = config_of(arguments_for(large)).build("run.job")
    found["open_s"], clock = time.perf_counter() - clock, time.perf_counter()
    next(job.data.loader("train").steps(0, 0, 1))
    found["first_batch_s"] = time.perf_counter() - clock
    found["sampled"] = {split: sample._asdict() for split, sample in job.data.sampled().items()}
    jobs = {"large": job, "small": config_of(arguments_for(small)).build("run.job")}
    seconds = interleaved({name: training_steps(each) for name, each in jobs.items()}, TURNS)
    found["steps_over_those_of_a_small_store"] = median_ratio(seconds["large"], seconds["small"])
    drop_from_memory(large)
    clock, cpu = time.perf_counter(), time.process_time()
    give_class_counts(job.data, job.trainer.model, job.trainer.forward_loss.loss)
    for baseline in job.baselines:
        fit(baseline, job.data)
    found["fit_s"], clock = time.perf_counter() - clock, time.perf_counter()
    rivals = applicable(job.baselines, unseen_groups(job.data, "test"), "test")
    judged = score_beside_baselines(rivals[:1], rivals[1:], job.data, job.trainer.future_horizon, CPU)
    found["score_s"], found["fit_and_score_cpu_s"] = time.perf_counter() - clock, time.process_time() - cpu
    found["baselines_nll_bits"] = {name: scores["nll_bits"] for name, scores in judged.scores.items()}
    found["peak_memory_gb"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    return found


def training_steps(job: Any) -> Callable[[], None]:
    """A function that loads the next batches of an epoch, each for one forward and backward pass."""
    steps = itertools.chain.from_iterable(job.data.loader("train").steps(epoch, 0, 1) for epoch in itertools.count())

    def take_some() -> None:
        for micro_batches in itertools.islice(steps, STEPS_IN_TURN):
            for batch in micro_batches:
                job.trainer.forward_loss(batch)[0].backward()

    return take_some


def drop_from_memory(store: Path) -> None:
    """Let the system forget what it holds in memory of the files of a store, as far as nobody maps them."""
    for path in store.iterdir():
        file = os.open(path, os.O_RDONLY)
        os.posix_fadvise(file, 0, 0, os.POSIX_FADV_DONTNEED)
        os.close(file)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.large_store")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--proteins", type=int, default=1390)
    arguments = parser.parse_args()
    large, small = (arguments.folder / f"{number}-proteins" for number in (arguments.proteins, 8))
    for store, num_proteins, num_frames in ((large, arguments.proteins, FRAMES), (small, 8, 300)):
        if not store.exists():
            write_store(store, num_proteins, num_frames)
    print(json.dumps(measure(large, small), indent=1))


if __name__ == "__main__":
    main()

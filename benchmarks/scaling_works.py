"""What the suite `scaling` repeats at every size: one step, or one start, as a function without arguments."""

import multiprocessing
import os
import socket
import statistics
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.e2e_forms import Task
from benchmarks.step import SMALL, Step, random_batch
from emprot_core import registry
from emprot_core.contracts import Vocabulary
from emprot_core.data.store import StoreWriter
from emprot_core.distributed import process_group
from emprot_core.training import Trainer

Work = Callable[[], Any]
BASE = replace(SMALL, B=1, N=50)
NUM_STEPS = 8  # of a measured run of ranks


def step(name: str, size: int, mixing: str = "Temporal", **fixed: Any) -> Work:
    """A whole step of the forecaster, with one of its sizes (a letter of emprot_core.batch) set."""
    case = replace(BASE, **{**fixed, name: size})
    return Step(case, torch.device("cpu"), registry.get("mixing", mixing)()).whole


def step_of_gates(past: int) -> Work:
    """Forward and backward of gates.gin's model over `past` frames and the 10 of the history."""
    task = Task("gates.gin", 1, torch.device("cpu"))
    batch = random_batch(replace(SMALL, K=past + 10))
    batch["left_out"] = torch.full((SMALL.B,), -1)
    forward_loss = task.job.trainer.forward_loss
    return lambda: forward_loss(batch)[0].backward()


def first_batch(num_trajectories: int, files: ExitStack) -> Work:
    """Opening a store of so many trajectories of 6 frames and 4 residues, up to the first batch of an epoch."""
    directory = Path(files.enter_context(tempfile.TemporaryDirectory())) / "store"
    ids = np.arange(24).reshape(6, 4) % 16
    with StoreWriter(directory, Vocabulary("sixteen", 16, {})) as writer:
        for number in range(num_trajectories):
            writer.add(f"t{number}", f"g{number}", ids)
    windows, split = registry.get("data", "TrajectoryWindows"), registry.get("split", "ByTime")

    def start() -> None:
        data = windows(str(directory), history=2, horizon=1, split=split(train=0.6, validation=0.2, test=0.2))
        next(data.loader("train").steps(0, 0, 1))

    return start


def seconds_of_ranks(num_ranks: int, num_windows: int = 4) -> list[float]:
    """Process time of a rank for each global step of two micro-batches, which the ranks divide among themselves."""
    context = multiprocessing.get_context("spawn")
    answers = context.SimpleQueue()
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    ranks = [
        context.Process(target=_rank, args=(rank, num_ranks, port, num_windows, answers)) for rank in range(num_ranks)
    ]
    for process in ranks:
        process.start()
    for process in ranks:
        process.join()
    if any(process.exitcode for process in ranks):
        raise RuntimeError(f"a rank of {num_ranks} ended with {[process.exitcode for process in ranks]}")
    rounds = [answers.get() for _ in ranks]
    return [statistics.mean(values) for values in zip(*rounds, strict=True)]


def _rank(rank: int, num_ranks: int, port: int, num_windows: int, answers: Any) -> None:
    torch.set_num_threads(1)
    own = {"RANK": rank, "WORLD_SIZE": num_ranks, "LOCAL_RANK": rank, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
    os.environ.update({name: str(value) for name, value in own.items()})
    case = replace(BASE, B=num_windows, N=100)
    accumulated = 2 // num_ranks
    batches = [random_batch(case)] * (NUM_STEPS * accumulated)
    with process_group(torch.device("cpu")):
        trainer = Trainer(
            Step(case, torch.device("cpu")).model,
            registry.get("loss", case.loss)(),
            registry.get("optimizer", "adamw"),
            max_epochs=6,
            grad_accum_steps=accumulated,
        )
        answers.put([_seconds(partial(trainer.train_epoch, batches)) / NUM_STEPS for _ in range(6)][1:])


def _seconds(work: Work) -> float:
    start = time.process_time()
    work()
    return time.process_time() - start

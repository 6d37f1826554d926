"""Batches on their way to a CUDA device, beside the same work on the device without batches.

A step of the device is a product of two large matrices, about a millisecond long. The forms differ in how a batch gets
there: as it is, from pinned memory, or from pinned memory on a stream of its own, one batch ahead. On a CPU the forms
are called without pinning and streams, which tests the benchmark and measures nothing.
"""

import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import nullcontext
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from benchmarks.interleave import interleaved, median_ratio
from benchmarks.loader import make_forms
from benchmarks.timing import spread
from emprot_core.batch import Batch, move_batch

SIZE = 8192  # of the product


def measure(device_name: str, num_batches: int = 100, num_rounds: int = 7, size: int = SIZE) -> dict[str, Any]:
    """Milliseconds of a step without batches and with those of each form, and what each form adds."""
    device = torch.device(device_name)
    matrix = torch.ones(size, size, dtype=torch.bfloat16, device=device)
    into = torch.empty_like(matrix)

    def work() -> None:
        torch.mm(matrix, matrix, out=into)

    with tempfile.TemporaryDirectory() as directory:
        read = make_forms(Path(directory) / "store", num_batches)["WindowLoader"]
        ways: dict[str, Callable[[], Iterable[Any]]] = {
            "no batches": lambda: range(num_batches),
            "batches in memory": lambda: iter(read()),
            "moved": lambda: (move_batch(batch, device) for batch in read()),
            "pinned and moved": lambda: (move_batch(pinned(batch, device), device) for batch in read()),
            "one ahead on a stream": lambda: one_ahead(read(), device),
        }
        seconds = interleaved({name: partial(_exhaust, way, work) for name, way in ways.items()}, num_rounds, device)
    return {
        "name": "batches of B8 K10 F5 N300 to the device",
        "product": size,
        "times": {name: spread([value / num_batches for value in values]) for name, values in seconds.items()},
        "ratios": {
            f"{name} / no batches": median_ratio(values, seconds["no batches"])
            for name, values in seconds.items()
            if name != "no batches"
        },
    }


def one_ahead(batches: Iterator[Batch], device: torch.device) -> Iterator[Batch]:
    """Moves each batch on a stream of its own while the device works on the one before."""
    on_cuda = device.type == "cuda"
    stream = torch.cuda.Stream() if on_cuda else None

    def move(batch: Batch) -> Batch:
        with torch.cuda.stream(stream) if stream is not None else nullcontext():
            return move_batch(pinned(batch, device), device)

    moved: Batch | None = None
    for batch in batches:
        following = move(batch)
        if moved is not None:
            yield moved
        if stream is not None:
            torch.cuda.current_stream().wait_stream(stream)
            for tensor in following.values():
                tensor.record_stream(torch.cuda.current_stream())  # type: ignore[attr-defined]
        moved = following
    if moved is not None:
        yield moved


def pinned(batch: Batch, device: torch.device) -> Batch:
    """The batch in memory that the device can read by itself."""
    if device.type == "cpu":
        return batch
    return {name: x.pin_memory() if isinstance(x, Tensor) else x for name, x in batch.items()}  # type: ignore[return-value]


def _exhaust(way: Callable[[], Iterable[Any]], work: Callable[[], None]) -> None:
    for _ in way():
        work()

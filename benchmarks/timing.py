"""How a benchmark measures: warmed up, synchronised, repeated; median and spread; memory in a fresh process."""

import multiprocessing
import resource
import statistics
import time
from collections.abc import Callable
from typing import Any

import torch


def time_ms(work: Callable[[], Any], device: torch.device, num_warmups: int, num_repeats: int) -> dict[str, float]:
    """Milliseconds of one call: the median, and the 10th and 90th percentile of the repeats."""
    for _ in range(num_warmups):
        work()
    times = []
    for _ in range(num_repeats):
        synchronize(device)
        start = time.perf_counter()
        work()
        synchronize(device)
        times.append((time.perf_counter() - start) * 1e3)
    deciles = statistics.quantiles(times, n=10)
    return {"median_ms": statistics.median(times), "p10_ms": deciles[0], "p90_ms": deciles[-1]}


def synchronize(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def peak_memory_mb(work: Callable[[], Any], device: torch.device) -> float:
    """By how much one call raises the peak: of the device's memory, or of this process on a CPU.

    On a CPU the peak never falls again, so the figure holds only for the first large work of a process.
    """
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
        before = torch.cuda.memory_allocated(device)
        work()
        synchronize(device)
        return (torch.cuda.max_memory_allocated(device) - before) / 2**20
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    work()
    return (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 2**10


def in_fresh_process(function: Callable[..., Any], *args: Any) -> Any:
    """function(*args) in a new process, so that its peak memory is its own."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(function, args)

"""How a benchmark measures: warmed up, synchronised, repeated; median and spread; memory in a fresh process."""

import ctypes
import multiprocessing
import statistics
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch

from emprot_core.kernels.onednn import product


def time_ms(work: Callable[[], Any], device: torch.device, num_warmups: int, num_repeats: int) -> dict[str, float]:
    """Milliseconds of one call: the median, and the 10th and 90th percentile of the repeats."""
    for _ in range(num_warmups):
        work()
    return spread([time_once(work, device) for _ in range(num_repeats)])


def time_once(work: Callable[[], Any], device: torch.device) -> float:
    """Seconds of one call: of this process on a CPU, where others may be busy; by the clock on CUDA."""
    clock = time.process_time if device.type == "cpu" else time.perf_counter
    synchronize(device)
    start = clock()
    work()
    synchronize(device)
    return clock() - start


def matmul_rate(dtype: torch.dtype, device: torch.device, size: int = 2048) -> float:
    """FLOP/s of a large square product."""
    a, b = (torch.randn(size, size, device=device).to(dtype) for _ in range(2))
    seconds = [time_once(lambda: product(a, b), device) for _ in range(5)]
    return 2 * size**3 / statistics.median(seconds[1:])


def spread(seconds: list[float]) -> dict[str, float]:
    """The median, and the 10th and 90th percentile, in milliseconds."""
    deciles = statistics.quantiles(seconds, n=10)
    return {
        "median_ms": 1e3 * statistics.median(seconds),
        "p10_ms": 1e3 * deciles[0],
        "p90_ms": 1e3 * deciles[-1],
    }


def synchronize(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def peak_memory_mb(work: Callable[[], Any], device: torch.device) -> float:
    """By how much one call raises the peak: of the device's memory, or of this process on a CPU.

    On a CPU memory that earlier works left to the process, and that it cannot give back to the system, is used again
    unseen. So the figure is surest for the first large work of a process.
    """
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
        before = torch.cuda.memory_allocated(device)
        work()
        synchronize(device)
        return (torch.cuda.max_memory_allocated(device) - before) / 2**20
    with suppress(OSError, AttributeError):  # without Linux and glibc an earlier peak may hide this one
        ctypes.CDLL(None).malloc_trim(0)
        Path("/proc/self/clear_refs").write_text("5")  # the peak falls to what is in use now
    peak_before = high_water_mb()
    work()
    return high_water_mb() - peak_before


def peak_of(device: str, measure: Callable[..., float], *args: Any) -> float:
    """measure(*args), which takes a peak: on a CPU in a new process, see `peak_memory_mb`."""
    return measure(*args) if device == "cuda" else in_fresh_process(measure, *args)


def high_water_mb() -> float:
    """The peak of this process's memory; ru_maxrss would count the parent's as well."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) / 2**10


def in_fresh_process(function: Callable[..., Any], *args: Any) -> Any:
    """function(*args) in a new process, so that its peak memory is its own."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(function, args)

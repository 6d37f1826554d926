"""Attention kernels beside the einsum form: forward and backward from the layer's strided q, k, v to (B, queries, D).

8 heads of 64, and 4 of 16 as small models have; about 85 % of the keys valid. The kernels take turns within one
process; on a CPU in one thread and by the process's own time. `benchmarks.attention_table` writes the
table that `attention.auto` reads.
"""

import statistics
from dataclasses import asdict, dataclass, replace
from functools import partial
from typing import Any

import torch
from emprot_plugins.attention import dispatch
from emprot_plugins.attention.short import LONGEST
from torch import Tensor

from benchmarks.targets import target, target_on_cuda
from benchmarks.timing import in_fresh_process, matmul_rate, peak_memory_mb, peak_of, spread, time_once
from emprot_core.contracts import Attention

VALID = 0.85


@dataclass(frozen=True)
class Case:
    """num_sequences x queries x keys. With bias: one for each head, query and key, that learns."""

    pattern: str
    num_sequences: int
    queries: int
    keys: int
    num_repeats: int
    dtype: str = "float32"
    bias: bool = False
    heads: int = 8
    head_size: int = 64

    @property
    def name(self) -> str:
        small = f" {self.heads} heads of {self.head_size}" if self.head_size != 64 else ""
        return f"{self.pattern} {self.dtype}" + small + (" bias" if self.bias else "")


SHAPES = [
    ("temporal 300 x K10", 300, 10, 10, 25),
    ("temporal 300 x K64", 300, 64, 64, 5),
    ("spatial 10 x N300", 10, 300, 300, 7),
    ("spatial 2 x N1000", 2, 1000, 1000, 5),
    ("cross 300 x 3000", 1, 300, 3000, 9),
    ("full 3000 x 3000", 1, 3000, 3000, 3),
]
LAST_FRAME = [("temporal 300 x K10, last frame", 300, 1, 10, 25), ("temporal 300 x K64, last frame", 300, 1, 64, 9)]
BIASED = [SHAPES[0], SHAPES[2], SHAPES[4]]
DTYPES = ("float32", "bfloat16")
CASES = [Case(*shape, dtype=dtype) for dtype in DTYPES for shape in SHAPES + LAST_FRAME]
CASES += [Case(*shape, dtype=dtype, bias=True) for dtype in DTYPES for shape in BIASED]
CASES += [Case(*shape, heads=4, head_size=16) for shape in [*SHAPES[:3], SHAPES[4], *LAST_FRAME]]
CASES += [Case(*shape, heads=4, head_size=16, bias=True) for shape in BIASED]
TARGET_CASES = [Case(*shape) for shape in SHAPES]
BUSY_CASES = [
    replace(case, pattern=case.pattern.replace("300", "2400"), num_sequences=2400)
    for case in CASES
    if case.pattern.startswith("temporal") and not case.bias and case.heads == 8
]
"""On CUDA: eight proteins at once. With one, every kernel waits for its launches."""


@dataclass
class Problem:
    """q, k and v (sequences, heads, tokens, head size) as AttentionLayer makes them; k and v share their memory."""

    inputs: list[Tensor]
    mask: Tensor
    bias: Tensor | None
    grad: Tensor


def run(device: str) -> list[dict[str, Any]]:
    """One record per case; the six shapes of the target also with their peak memory."""
    records = in_fresh_process(measure_all, device)
    gains = []
    for case, record in zip(cases_on(device), records, strict=True):
        gain = record["ratios"]["auto: einsum takes"]
        record["targets"] = []
        if not takes_einsum(case, device):  # else the two are one, and what differs is noise
            bound = 2.0 if case == TARGET_CASES[0] else 1.0
            record["targets"].append(target(f"{case.name}: auto faster than einsum", bound, gain, at_least=True))
        if device == "cuda" and (case.dtype, case.queries, case.keys, case.bias) == ("bfloat16", 10, 10, False):
            what = f"{case.name}: auto faster than sdpa"
            record["targets"].append(target_on_cuda(what, gain / record["ratios"]["sdpa: einsum takes"]))
        if case in TARGET_CASES:
            gains.append(gain)
            peaks = {name: peak_of(device, measure_peak, case, device, name) for name in ("einsum", "auto")}
            record |= {"peaks_mb": peaks, "peak_memory_mb": peaks["auto"]}
            memory = peaks["einsum"] / max(peaks["auto"], 1.0)
            record["ratios"]["auto: einsum peaks at"] = memory
            record["targets"].append(target(f"{case.name}: auto peaks lower than einsum", 1.0, memory, at_least=True))
    mean = statistics.geometric_mean(gains)
    what = "geometric mean of six shapes, fp32: auto faster than einsum"
    records[0]["targets"].append(target(what, 2.5, mean, at_least=True))
    return records


def cases_on(device: str) -> list[Case]:
    return CASES + BUSY_CASES * (device == "cuda")


def takes_einsum(case: Case, device: str) -> bool:
    dtype = getattr(torch, case.dtype)
    return dispatch.choice(device, dtype, (case.queries, case.keys, case.head_size), by_query=case.bias) == "einsum"


def measure_all(device_name: str) -> list[dict[str, Any]]:
    device = prepare(device_name)
    rates = {dtype: matmul_rate(getattr(torch, dtype), device) for dtype in DTYPES}
    return [measure_times(case, device, rates[case.dtype]) for case in cases_on(device_name)]


def measure_times(case: Case, device: torch.device, rate: float) -> dict[str, Any]:
    """The time of every kernel, interleaved; its gain over einsum; its share of `rate`, FLOP/s."""
    problem = make_problem(case, device)
    kernels = candidates(case, device)
    seconds: dict[str, list[float]] = {name: [] for name in kernels}
    for repeat in range(case.num_repeats + 1):
        for name, kernel in kernels.items():
            elapsed = time_once(partial(forward_backward, kernel, problem), device)
            if repeat:  # the first round warms up
                seconds[name].append(elapsed)
    flops = 12 * case.num_sequences * case.heads * case.head_size * case.queries * case.keys
    gains = {
        f"{name}: einsum takes": statistics.median(a / b for a, b in zip(seconds["einsum"], ours, strict=True))
        for name, ours in seconds.items()
    }
    shares = {
        f"{name}: share of the matmul rate": flops / statistics.median(ours) / rate for name, ours in seconds.items()
    }
    return {
        **asdict(case),
        "name": case.name,
        "num_parameters": 0,
        "num_threads": torch.get_num_threads(),
        "peak_memory_mb": 0.0,
        "flops": flops,
        "matmul_flops_per_s": rate,
        "times": {name: spread(ours) for name, ours in seconds.items()},
        "ratios": gains | shares,
    }


def candidates(case: Case, device: torch.device) -> dict[str, Attention]:
    """The kernels worth a try: the block-wise ones are made for a CPU, and each for its own lengths."""
    names = ["einsum", "sdpa"]
    if device.type == "cpu":
        names += ["grouped"] if case.keys <= 300 else []
        names += ["packed"] if case.keys >= 300 else []
    elif max(case.queries, case.keys) <= LONGEST and not case.bias:
        names.append("short")
    return {name: dispatch.KERNELS[name] for name in names} | {"auto": dispatch.auto}


def measure_peak(case: Case, device_name: str, kernel_name: str) -> float:
    """MB by which one call raises the peak of a process that holds the inputs."""
    device = prepare(device_name)
    kernel = dispatch.auto if kernel_name == "auto" else dispatch.KERNELS[kernel_name]
    warm_up = replace(case, num_sequences=1, queries=max(1, case.queries // 20), keys=max(1, case.keys // 20))
    forward_backward(kernel, make_problem(warm_up, device))  # loads the code, which is no cost of a kernel
    return peak_memory_mb(partial(forward_backward, kernel, make_problem(case, device)), device)


def forward_backward(kernel: Attention, problem: Problem) -> None:
    q, k, v = problem.inputs
    mixed = kernel(q, k, v, mask=problem.mask, bias=problem.bias).transpose(1, 2).flatten(2)
    learning = problem.inputs if problem.bias is None else [*problem.inputs, problem.bias]
    torch.autograd.grad(mixed, learning, problem.grad)


def make_problem(case: Case, device: torch.device) -> Problem:
    torch.manual_seed(0)
    dtype, width = getattr(torch, case.dtype), case.heads * case.head_size

    def normal(tokens: int, width: int) -> Tensor:
        # In place: a temporary would raise the peak of the process beforehand.
        return torch.empty(case.num_sequences, tokens, width, dtype=dtype, device=device).normal_()

    q = normal(case.queries, width)
    k, v = normal(case.keys, 2 * width).chunk(2, dim=-1)
    inputs = [x.unflatten(-1, (case.heads, case.head_size)).transpose(1, 2).requires_grad_() for x in (q, k, v)]
    mask = torch.rand(case.num_sequences, 1, 1, case.keys, device=device) < VALID
    bias_shape = (1, case.heads, case.queries, case.keys)
    bias = torch.randn(bias_shape, device=device).to(dtype).requires_grad_() if case.bias else None
    return Problem(inputs, mask, bias, normal(case.queries, width))


def prepare(device_name: str) -> torch.device:
    device = torch.device(device_name)
    if device.type == "cpu":
        torch.set_num_threads(1)
    return device

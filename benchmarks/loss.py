"""LinearCrossEntropy beside the forms it replaces: forward and backward from features (B, F, N, D), weight (C, D).

Half of the positions have a target. The forms take turns within one process; on a CPU in one thread, by the process's
own time and with deterministic algorithms, as jobs have it there. Peak memory is that of one call in a fresh process.
"""

import statistics
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor

from benchmarks.loss_forms import FORMS, SEED_FORM, Problem, torch_linear_cross_entropy
from benchmarks.targets import LARGE_VOCABULARY_MEMORY, LARGE_VOCABULARY_TIME, target, target_on_cuda
from benchmarks.timing import in_fresh_process, peak_memory_mb, peak_of, spread, time_once


@dataclass(frozen=True)
class Case:
    """Sizes (the letters of emprot_core.batch) and the type of the products."""

    C: int
    num_repeats: int
    B: int = 4
    F: int = 5
    N: int = 300
    D: int = 512
    dtype: str = "float32"

    @property
    def name(self) -> str:
        return f"C={self.C} {self.dtype}"


CASES = [Case(256, 40), Case(5_000, 9), Case(50_000, 2), Case(50_000, 2, dtype="bfloat16")]


def run(device: str) -> Iterator[dict[str, Any]]:
    """One record per case."""
    for case in CASES:
        record = in_fresh_process(measure_times, case, device)
        record["peaks_mb"] = {name: peak_of(device, measure_peak, case, device, name) for name in FORMS}
        record["peak_memory_mb"] = record["peaks_mb"]["linear_cross_entropy"]
        record["gradients_mb"] = gradients_mb(case)
        record["ratios"] |= memory_ratios(record["peaks_mb"], record["gradients_mb"])
        record["targets"] = targets(case, record["ratios"], device)
        yield record


def targets(case: Case, ratios: dict[str, float], device: str) -> list[dict[str, Any]]:
    """What LinearCrossEntropy must reach, beside what it does."""
    ours = "linear_cross_entropy"
    others = [value for name, value in ratios.items() if name.endswith("takes") and not name.startswith(ours)]
    wanted = [("as fast as the best other form", 0.95, ratios[f"{ours}: {SEED_FORM} takes"] / max(others))]
    if case.C == 50_000 and case.dtype == "float32":
        wanted += [
            (f"faster than {SEED_FORM}", 2.5, ratios[f"{ours}: {SEED_FORM} takes"]),
            (f"less peak memory than {SEED_FORM}", 4.5, ratios[f"{ours}: {SEED_FORM} peaks at"]),
            ("less memory beyond the gradients, 64 rows", 50.0, ratios[f"{ours}_64: {SEED_FORM} beyond the gradients"]),
        ]
    found = [target(f"{ours}, {case.name}: {what}", bound, value, at_least=True) for what, bound, value in wanted]
    if device == "cuda" and case.C == 50_000 and case.dtype == "bfloat16":
        time = ratios[f"mask_first: {SEED_FORM} takes"] / ratios[f"{ours}: {SEED_FORM} takes"]
        memory = (
            ratios[f"{ours}: {SEED_FORM} beyond the gradients"]
            / ratios[f"mask_first: {SEED_FORM} beyond the gradients"]
        )
        found += [target_on_cuda(LARGE_VOCABULARY_TIME, time), target_on_cuda(LARGE_VOCABULARY_MEMORY, memory)]
    return found


def measure_times(case: Case, device_name: str) -> dict[str, Any]:
    """The time of every form, interleaved, and the ratio of every form to the seed's."""
    device = prepare(device_name)
    problem = make_problem(case, device)
    seconds: dict[str, list[float]] = {name: [] for name in FORMS}
    num_repeats = case.num_repeats if device.type == "cpu" else max(case.num_repeats, 20)
    for repeat in range(num_repeats + 1):
        for name, form in FORMS.items():
            if form is torch_linear_cross_entropy and 0 < repeat < num_repeats:
                continue  # the slowest by far on a CPU: its first and last call must do
            problem.features.grad = problem.weight.grad = None
            elapsed = time_once(partial(forward_backward, form, problem, case), device)
            if repeat or form is torch_linear_cross_entropy:  # the first round warms up
                seconds[name].append(elapsed)
    seed = statistics.median(seconds[SEED_FORM])
    ratios = {f"{name}: {SEED_FORM} takes": seed / statistics.median(ours) for name, ours in seconds.items()}
    times = {name: spread(values) for name, values in seconds.items()}
    return {
        **asdict(case),
        "name": case.name,
        "num_parameters": case.C * case.D,
        "num_threads": torch.get_num_threads(),
        "times": times,
        "ratios": ratios,
    }


def measure_peak(case: Case, device_name: str, form_name: str) -> float:
    """MB by which one call of a form raises the peak of a process that holds the inputs."""
    device = prepare(device_name)
    work = partial(forward_backward, FORMS[form_name])
    small = Case(case.C // 16, 1, N=8, dtype=case.dtype)
    work(make_problem(small, device), small)  # loads the code, which is no cost of a form
    problem = make_problem(case, device)
    return peak_memory_mb(partial(work, problem, case), device)


def prepare(device_name: str) -> torch.device:
    device = torch.device(device_name)
    if device.type == "cpu":
        torch.set_num_threads(1)
        torch.use_deterministic_algorithms(True)
    return device


def forward_backward(form: Callable[[Problem], Tensor], problem: Problem, case: Case) -> None:
    with torch.autocast(problem.features.device.type, dtype=torch.bfloat16, enabled=case.dtype == "bfloat16"):
        loss = form(problem)
    (loss / problem.features.shape[0]).backward()


def make_problem(case: Case, device: torch.device) -> Problem:
    """Random features and weight; targets by Zipf's law, as real vocabularies are; every second one is missing."""
    torch.manual_seed(0)
    shape = (case.B, case.F, case.N)
    frequencies = 1.0 / torch.arange(1, case.C + 1)
    ids = torch.multinomial(frequencies, case.B * case.F * case.N, replacement=True).view(shape)
    batch: dict[str, Tensor] = {
        "future_cluster_ids": ids.masked_fill(torch.rand(shape) < 0.5, -1).to(device),
        "future_step_mask": torch.ones(case.B, case.F, dtype=torch.bool, device=device),
        "residue_mask": torch.ones(case.B, case.N, dtype=torch.bool, device=device),
    }
    # In place: a temporary would raise the peak of the process beforehand.
    features = torch.empty(*shape, case.D, device=device).normal_().requires_grad_()
    weight = torch.empty(case.C, case.D, device=device).normal_(std=case.D**-0.5).requires_grad_()
    return Problem(features, weight, batch)  # type: ignore[arg-type]


def gradients_mb(case: Case) -> float:
    """MB of the gradients of features and weight, which no form can do without."""
    return 4 * case.D * (case.B * case.F * case.N + case.C) / 2**20


def memory_ratios(peaks_mb: dict[str, float], gradients: float) -> dict[str, float]:
    seed = peaks_mb[SEED_FORM]
    ratios = {f"{name}: {SEED_FORM} peaks at": seed / peak for name, peak in peaks_mb.items()}
    beyond = {name: max(peak - gradients, 1.0) for name, peak in peaks_mb.items()}
    extra = {f"{name}: {SEED_FORM} beyond the gradients": beyond[SEED_FORM] / b for name, b in beyond.items()}
    return ratios | extra

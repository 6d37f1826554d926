"""Other forms of a whole step on a CUDA device: compiled, and replayed as a CUDA graph; hooks around the replay."""

from collections.abc import Callable, Iterator
from dataclasses import asdict, replace
from typing import Any

import torch

from benchmarks import replayed
from benchmarks.interleave import interleaved, median_ratio
from benchmarks.step import CASES, SMALL, Case, Step
from benchmarks.targets import COMPILED, GRAPH, target_on_cuda
from benchmarks.timing import in_fresh_process, spread
from emprot_core import registry

GPCR = next(case for case in CASES["cuda"] if case.name == "gpcr")
FEW_CLASSES = replace(GPCR, name="gpcr, 256 classes", C=256, loss="MaskedCrossEntropy")
"""LinearCrossEntropy reads how many positions count, so a graph cannot hold it."""


def run(device: str) -> Iterator[dict[str, Any]]:
    """A record for each form. On a CPU there is none, as graphs need CUDA. Compiling goes last: it takes a minute."""
    if device == "cpu":
        return
    yield in_fresh_process(measure_graph)
    yield in_fresh_process(replayed.measure, FEW_CLASSES, device, True)
    yield in_fresh_process(replayed.measure, SMALL, device, False)
    yield in_fresh_process(measure_compiled, GPCR, None)
    yield in_fresh_process(measure_compiled, replace(SMALL, num_repeats=50), "reduce-overhead")


def measure_compiled(case: Case, mode: str | None) -> dict[str, Any]:
    """A step, eager and compiled by a mode of torch.compile; the target is that of the GPCR's size."""
    eager, compiled = Step(case, torch.device("cuda")), Step(case, torch.device("cuda"))
    registry.get("hook", "Compile")(mode).on_fit_start(compiled)
    name = f"compiled, {mode}" if mode else "compiled"
    forms = {"eager": eager.whole, name: compiled.whole}
    return _record(case, name, forms, COMPILED if case == GPCR else None)


def measure_graph() -> dict[str, Any]:
    """A step of one window of 302 residues, eager and as one CUDA graph of forward, backward and optimizer."""
    case = replace(SMALL, name="B=1", B=1, num_repeats=100)
    eager, captured = Step(case, torch.device("cuda")), Step(case, torch.device("cuda"))
    forms = {"eager": eager.whole, "CUDA graph": replayed.graph_of(captured.whole, torch.device("cuda"))}
    return _record(case, "CUDA graph", forms, GRAPH)


def _record(case: Case, name: str, forms: dict[str, Callable[[], Any]], bound: str | None) -> dict[str, Any]:
    seconds = interleaved(forms, case.num_repeats, torch.device("cuda"))
    ratio = median_ratio(seconds["eager"], seconds[name])
    return {
        **asdict(case),
        "name": f"{case.name}, {name}",
        "times": {form: spread(values) for form, values in seconds.items()},
        "ratios": {f"{name}: eager takes": ratio},
        "targets": [target_on_cuda(bound, ratio)] if bound else [],
    }

"""Other forms of a whole step on a CUDA device: compiled, and replayed as a CUDA graph."""

from collections.abc import Callable
from dataclasses import asdict, replace
from typing import Any

import torch

from benchmarks.interleave import interleaved, median_ratio
from benchmarks.step import CASES, SMALL, Case, Step
from benchmarks.targets import COMPILED, GRAPH, target_on_cuda
from benchmarks.timing import in_fresh_process, spread

GPCR = next(case for case in CASES["cuda"] if case.name == "gpcr")


def run(device: str) -> list[dict[str, Any]]:
    """A record for each form. On a CPU there is none, as graphs need CUDA."""
    if device == "cpu":
        return []
    return [in_fresh_process(measure_compiled), in_fresh_process(measure_graph)]


def measure_compiled() -> dict[str, Any]:
    """The step of the GPCR's size, eager and compiled."""
    eager, compiled = Step(GPCR, torch.device("cuda")), Step(GPCR, torch.device("cuda"))
    compiled.forward_loss.forward = torch.compile(compiled.forward_loss.forward)  # type: ignore[method-assign]
    return _record(GPCR, "compiled", {"eager": eager.whole, "compiled": compiled.whole}, COMPILED)


def measure_graph() -> dict[str, Any]:
    """A step of one window of 302 residues, eager and as one CUDA graph of forward, backward and optimizer."""
    case = replace(SMALL, name="B=1", B=1, num_repeats=100)
    eager, captured = Step(case, torch.device("cuda")), Step(case, torch.device("cuda"))
    forms = {"eager": eager.whole, "CUDA graph": graph_of(captured.whole)}
    return _record(case, "CUDA graph", forms, GRAPH)


def graph_of(work: Callable[[], Any]) -> Callable[[], Any]:
    """Capture a work, after three calls of it on another stream, as torch asks for."""
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        for _ in range(3):
            work()
    torch.cuda.current_stream().wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        work()
    return graph.replay


def _record(case: Case, name: str, forms: dict[str, Callable[[], Any]], bound: str) -> dict[str, Any]:
    seconds = interleaved(forms, case.num_repeats, torch.device("cuda"))
    ratio = median_ratio(seconds["eager"], seconds[name])
    return {
        **asdict(case),
        "name": f"{case.name}, {name}",
        "times": {form: spread(values) for form, values in seconds.items()},
        "ratios": {f"{name}: eager takes": ratio},
        "targets": [target_on_cuda(bound, ratio)],
    }

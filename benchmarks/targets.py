"""Bounds that figures must keep, and those that only a CUDA device can show."""

from typing import Any

MFU = "step gpcr: share of the matrix product's rate (MFU)"
SHORT_SEQUENCES = "temporal 300 x K10 bfloat16: auto faster than sdpa"
MANY_SHORT_SEQUENCES = "temporal 2400 x K10 bfloat16: auto faster than sdpa"
LARGE_VOCABULARY_TIME = "linear_cross_entropy, C=50000 bfloat16 / mask_first"
LARGE_VOCABULARY_MEMORY = "linear_cross_entropy, C=50000 bfloat16: less memory beyond the gradients than mask_first"
COMPILED = "step gpcr: compiled faster than eager"
GRAPH = "step of B=1: CUDA graph faster than eager"
HOOKS_OVER_GRAPH = "trainer with hooks / replayed CUDA graph of the step"
E2E = "base.gin, an epoch: plain script with torch's modules / EMPROT"
STARTUP = {
    "--help / import torch": 0.1,
    "--check of base.gin / import torch": 1.6,
    "import of emprot_core over torch / import torch": 0.1,
    "first batch of a million trajectories / import torch": 3.0,
}
"""The most that a start may take, in times of `python -c 'import torch'`."""
ON_CUDA = {
    MFU: (0.5, True),
    SHORT_SEQUENCES: (3.0, True),
    MANY_SHORT_SEQUENCES: (3.0, True),
    LARGE_VOCABULARY_TIME: (1.0, False),
    LARGE_VOCABULARY_MEMORY: (20.0, True),
    COMPILED: (2.0, True),
    GRAPH: (3.0, True),
    HOOKS_OVER_GRAPH: (1.02, False),
}
"""Bound, and whether it is the least or the most."""


def target(what: str, bound: float, measured: float, at_least: bool = False) -> dict[str, Any]:
    """A figure beside the bound that it must keep."""
    return {"what": what, "bound": bound, "at_least": at_least, "measured": measured}


def target_on_cuda(what: str, measured: float) -> dict[str, Any]:
    """A figure beside its bound in ON_CUDA."""
    bound, at_least = ON_CUDA[what]
    return target(what, bound, measured, at_least)


_LARGE = "linear_cross_entropy, C=50000 float32"
HEADLINES = (
    E2E,
    "loop / hand-written, tiny step",
    "loop / hand-written, 1 ms step",
    "base.gin's step with all hooks / without",
    "dispatch to 10 hooks, us",
    "Dataset over a memory map and collate / loader",
    "temporal 300 x K10 float32: auto faster than einsum",
    "geometric mean of six shapes, fp32: auto faster than einsum",
    SHORT_SEQUENCES,
    MANY_SHORT_SEQUENCES,
    f"{_LARGE}: faster than project_all",
    f"{_LARGE}: less peak memory than project_all",
    f"{_LARGE}: less memory beyond the gradients, 64 rows",
    LARGE_VOCABULARY_TIME,
    LARGE_VOCABULARY_MEMORY,
    MFU,
    COMPILED,
    GRAPH,
    HOOKS_OVER_GRAPH,
    *STARTUP,
    "protein_blocks: tokens a second",
    "50000 centroids: nearest centroid / bare product",
)
"""The targets of the front page, in this order; the pages of the suites have all of them."""

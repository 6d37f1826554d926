"""Frames and tokens a second on one core: tokenizers and Prepare on the sample's backbones, and 50,000 centroids."""

import math
import tempfile
from typing import Any

import numpy as np
import torch
from emprot_plugins.prepare.prepare import Prepare
from emprot_plugins.readers.backbone_npz import BackboneNpz
from emprot_plugins.tokenizers.kmeans import nearest_centroids

from benchmarks.targets import target
from benchmarks.timing import time_ms
from emprot_core import registry
from emprot_core.contracts import Structure
from emprot_core.data.store import SAMPLE_ROOT

_NAMES = ("protein_blocks", "rama_bins")
_MIN_TOKENS_PER_S = {"protein_blocks": 1e6}
_MAX_PRODUCTS = 2.0
"""What assignment to the centroids may take, in bare products of the points and the centroids."""
_FRAMES, _TOKENS = "thousand frames a second", "million tokens a second"
_NUM_CENTROIDS, _NUM_FEATURES, _NUM_POINTS, _POINTS_AT_ONCE = 50_000, 26, 2048, 512


def run(device: str) -> list[dict[str, Any]]:
    """A record for each tokenizer, one for Prepare, and one for the search of the nearest centroid beside the bare
    product."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        return [*(_encode(name) for name in _NAMES), _prepare(), _assign(device)]
    finally:
        torch.set_num_threads(threads)


def _encode(name: str) -> dict[str, Any]:
    structures = _sample()
    tokenizer = registry.get("tokenizer", name)()
    times = time_ms(lambda: [tokenizer.encode(s) for s in structures], torch.device("cpu"), 2, 10)
    rates = _rates(times["median_ms"])
    least = _MIN_TOKENS_PER_S.get(name)
    targets = [target(f"{name}: tokens a second", least, 1e6 * rates[_TOKENS], at_least=True)] if least else []
    return _record(name, {"encode": times}, rates, targets)


def _prepare() -> dict[str, Any]:
    """From the backbones to a verified store with its report, in one process."""

    def prepare() -> None:
        with tempfile.TemporaryDirectory() as folder:
            tokenizer = registry.get("tokenizer", "protein_blocks")()
            Prepare("sample:coordinates", BackboneNpz(), [tokenizer], folder).run(None)

    times = time_ms(prepare, torch.device("cpu"), 1, 5)
    return _record("Prepare, protein_blocks", {"sample:coordinates": times}, _rates(times["median_ms"]), [])


def _rates(ms: float) -> dict[str, float]:
    shapes = [structure.coordinates.shape for structure in _sample()]
    return {
        _FRAMES: sum(shape[0] for shape in shapes) / ms,
        _TOKENS: sum(math.prod(shape[:2]) for shape in shapes) / ms / 1e3,
    }


def _sample() -> list[Structure]:
    return [BackboneNpz().read(file) for file in sorted((SAMPLE_ROOT / "coordinates").glob("*.npz"))]


def _assign(device: str) -> dict[str, Any]:
    random = np.random.default_rng(0)
    points, centroids = (random.normal(size=(size, _NUM_FEATURES)) for size in (_NUM_POINTS, _NUM_CENTROIDS))
    rows, columns = torch.from_numpy(points).to(device), torch.from_numpy(centroids).to(device).T.contiguous()
    product = torch.empty(_POINTS_AT_ONCE, _NUM_CENTROIDS, dtype=torch.float64, device=device)

    def multiply() -> None:
        for some in rows.split(_POINTS_AT_ONCE):
            torch.mm(some, columns, out=product)

    times = {
        "nearest centroid": time_ms(lambda: nearest_centroids(points, centroids, device), torch.device(device), 2, 10),
        "bare product": time_ms(multiply, torch.device(device), 2, 10),
    }
    ratio = times["nearest centroid"]["median_ms"] / times["bare product"]["median_ms"]
    targets = [target(f"{_NUM_CENTROIDS} centroids: nearest centroid / bare product", _MAX_PRODUCTS, ratio)]
    return _record(f"{_NUM_CENTROIDS} centroids", times, {"nearest centroid / bare product": ratio}, targets)


def _record(
    name: str, times: dict[str, Any], ratios: dict[str, float], targets: list[dict[str, Any]]
) -> dict[str, Any]:
    sizes = {"num_parameters": 0, "peak_memory_mb": 0.0}
    return {"name": name, **sizes, "times": times, "ratios": ratios, "targets": targets}

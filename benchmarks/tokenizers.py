"""How many tokens a tokenizer makes in a second, on one core: the sample's backbones, and 50,000 centroids."""

import math
from typing import Any

import numpy as np
import torch
from emprot_plugins.readers.backbone_npz import BackboneNpz
from emprot_plugins.tokenizers.kmeans import nearest_centroids

from benchmarks.timing import time_ms
from emprot_core import registry
from emprot_core.data.store import SAMPLE_ROOT

_NAMES = ("protein_blocks", "rama_bins")
_NUM_CENTROIDS, _NUM_FEATURES, _NUM_POINTS, _POINTS_AT_ONCE = 50_000, 26, 2048, 512


def run(device: str) -> list[dict[str, Any]]:
    """A record for each tokenizer, and one for the search of the nearest centroid beside the bare product."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        return [*(_encode(name) for name in _NAMES), _assign(device)]
    finally:
        torch.set_num_threads(threads)


def _encode(name: str) -> dict[str, Any]:
    files = sorted((SAMPLE_ROOT / "coordinates").glob("*.npz"))
    structures = [BackboneNpz().read(file) for file in files]
    tokenizer = registry.get("tokenizer", name)()
    num_tokens = sum(math.prod(structure.coordinates.shape[:2]) for structure in structures)
    times = time_ms(lambda: [tokenizer.encode(s) for s in structures], torch.device("cpu"), 2, 10)
    return _record(name, {"encode": times}, {"million tokens a second": num_tokens / times["median_ms"] / 1e3})


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
    return _record(f"{_NUM_CENTROIDS} centroids", times, {"nearest centroid / bare product": ratio})


def _record(name: str, times: dict[str, Any], ratios: dict[str, float]) -> dict[str, Any]:
    return {"name": name, "num_parameters": 0, "peak_memory_mb": 0.0, "times": times, "ratios": ratios}

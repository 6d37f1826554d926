"""Seeds, the state of every random generator, determinism, and what else the last bits of a result depend on."""

import os
import random
from typing import Any

import numpy as np
import torch

from emprot_core.distributed import rank, world_size


def seed_everything(seed: int) -> None:
    """Seed Python, NumPy and torch on every device."""
    random.seed(seed)
    np.random.seed(seed % 2**32)
    torch.manual_seed(seed)


def seed_this_rank(seed: int, step: int) -> None:
    """Give this rank its own random numbers. They depend on the seed, the number of ranks, the rank and the step."""
    words = np.random.SeedSequence([seed % 2**32, world_size(), rank(), step]).generate_state(2, np.uint32)
    seed_everything(int(words[0]) << 31 | int(words[1]) >> 1)


def use_deterministic_algorithms(device: torch.device, deterministic: bool) -> None:
    """Use torch's deterministic algorithms: always on a CPU, on CUDA only if asked for, as they cost speed there."""
    if device.type == "cuda" and deterministic:
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.use_deterministic_algorithms(device.type == "cpu" or deterministic)


def environment(device: torch.device) -> dict[str, Any]:
    """What the last bits of a result depend on, besides the config and the data."""
    return {
        "ranks": world_size(),
        "threads": torch.get_num_threads(),
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else device.type,
        "torch": str(torch.__version__),
    }


def random_state(device: torch.device) -> dict[str, Any]:
    """The state of all generators that this process uses, as tensors, numbers and strings."""
    version, internal, gauss = random.getstate()
    name, keys, position, has_gauss, cached = np.random.get_state()
    return {
        "python": [version, torch.tensor(internal), gauss],
        "numpy": [name, torch.from_numpy(np.asarray(keys).astype(np.int64)), position, has_gauss, cached],
        "torch": torch.get_rng_state(),
        "cuda": torch.cuda.get_rng_state(device) if device.type == "cuda" else None,
    }


def restore_random_state(state: dict[str, Any], device: torch.device) -> None:
    """Put all generators back into the state that `random_state` gave."""
    version, internal, gauss = state["python"]
    random.setstate((version, tuple(internal.tolist()), gauss))
    name, keys, position, has_gauss, cached = state["numpy"]
    np.random.set_state((name, keys.numpy().astype(np.uint32), position, has_gauss, cached))
    torch.set_rng_state(state["torch"])
    if state["cuda"] is not None and device.type == "cuda":
        torch.cuda.set_rng_state(state["cuda"], device)

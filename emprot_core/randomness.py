"""Seeds, the state of every random generator, determinism, and what else the last bits of a result depend on."""

import logging
import os
import random
from typing import Any

import numpy as np
import torch

from emprot_core.distributed import gather, rank, world_size

_log = logging.getLogger("emprot")


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
    # By default torch then fills all memory that it takes, in case it is read unwritten: 3 to 5 % of base.gin's step.
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]  # mypy sees no property
    # torch.use_deterministic_algorithms tells the compiler too, and imports it for that: hooks.Compile alone needs it.
    torch.set_deterministic_debug_mode("error" if device.type == "cpu" or deterministic else "default")


def state_dict(device: torch.device) -> dict[str, Any]:
    """The random state of every rank, and what else the last bits depend on. All ranks must call it."""
    return {"random": gather(random_state(device)), "environment": environment(device)}


def load_state_dict(state: dict[str, Any], device: torch.device, seed: int, step: int) -> None:
    """Go on with the random numbers of `state_dict`. The log names what else has changed since then.

    If the number of ranks has changed, every rank draws new numbers that depend on the seed and the step.
    """
    now = environment(device)
    changes = [f"{name} {was} -> {now.get(name)}" for name, was in state["environment"].items() if was != now.get(name)]
    if changes:
        _log.warning("going on with another set-up, so the last digits may differ: %s", ", ".join(changes))
    if len(state["random"]) == world_size():
        restore_random_state(state["random"][rank()], device)
        return
    seed_this_rank(seed, step)
    _log.warning("dropout goes on with new random numbers, drawn from run.seed, the number of ranks and the step")


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

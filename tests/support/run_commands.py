"""What tests of whole runs share."""

import json
from pathlib import Path

import torch

from emprot_core.checkpoint import load_checkpoint

DEBUG = "--gin_file=debug.gin"


def bind(*bindings: str) -> list[str]:
    return [f"--gin_bindings={binding}" for binding in bindings]


def result(directory: str = "runs/debug") -> dict:
    return json.loads(Path(directory, "result.json").read_text())


def weights(directory: str, name: str = "final.pt") -> torch.Tensor:
    state = load_checkpoint(Path(directory, "checkpoints", name))["model_state_dict"]
    return torch.cat([value.flatten() for value in state.values()])

"""Reads checkpoint files. Nothing in them can run code."""

import zipfile
from pathlib import Path
from typing import Any

import torch

from emprot_core.errors import EmprotError

State = dict[str, Any]


class CheckpointError(EmprotError):
    """A checkpoint that is missing, damaged, lacks a piece, or could not be written."""


def load_checkpoint(path: str | Path) -> State:
    """The state in a checkpoint file, on the CPU. Nothing in the file can run code (weights_only).

    Raises:
        CheckpointError: the file is missing, is no checkpoint, or holds more than tensors and plain values.
    """
    path = Path(path)
    if not path.is_file():
        raise CheckpointError(f"{path} is not a file; give the path of a checkpoint, e.g. RUN_DIR/checkpoints/best.pt")
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # which one depends on the damage: EOFError, RuntimeError, pickle's
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise CheckpointError(f"{path} is not a readable checkpoint ({reason}); use another one") from error
    if not isinstance(state, dict) or "model_state_dict" not in state:
        raise CheckpointError(f"{path} holds no model_state_dict; give a checkpoint that EMPROT wrote")
    return state


def is_whole(path: Path) -> bool:
    """Whether all parts of a checkpoint match their CRC-32: a weaker test than the SHA-256 in an index."""
    try:
        with zipfile.ZipFile(path) as archive:
            return archive.testzip() is None and "step" in load_checkpoint(path)
    except Exception:  # which error zipfile raises depends on the damage
        return False


def best_weights(state: State) -> dict[str, torch.Tensor]:
    """The weights that validation used: averaged ones if the run kept them, else those of the model."""
    return state.get("evaluation_state_dict") or state["model_state_dict"]

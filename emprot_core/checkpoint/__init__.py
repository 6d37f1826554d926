"""The checkpoint store: write, hash, verify, rotate, find the newest valid one."""

from emprot_core.checkpoint.files import write_text_atomically
from emprot_core.checkpoint.store import (
    BEST,
    FINAL,
    CheckpointError,
    CheckpointStore,
    best_weights,
    load_checkpoint,
    verify_run,
)

__all__ = [
    "BEST",
    "FINAL",
    "CheckpointError",
    "CheckpointStore",
    "best_weights",
    "load_checkpoint",
    "verify_run",
    "write_text_atomically",
]

"""The checkpoint store: write, hash, verify, rotate, find the newest valid one."""

from emprot_core.checkpoint.store import CheckpointError, CheckpointStore, load_checkpoint

__all__ = ["CheckpointError", "CheckpointStore", "load_checkpoint"]

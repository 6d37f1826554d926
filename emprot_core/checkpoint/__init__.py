"""The checkpoint store: write, hash, verify, rotate, find the newest valid one."""

from emprot_core.checkpoint.appended import AppendedFiles
from emprot_core.checkpoint.files import write_text_atomically
from emprot_core.checkpoint.load import CheckpointError, best_weights, load_checkpoint
from emprot_core.checkpoint.sealed import Damaged, read_sealed_json, write_sealed_json, write_sealed_text
from emprot_core.checkpoint.store import BEST, FINAL, CheckpointStore, numbered
from emprot_core.checkpoint.verify import verify_run

__all__ = [
    "BEST",
    "FINAL",
    "AppendedFiles",
    "CheckpointError",
    "CheckpointStore",
    "Damaged",
    "best_weights",
    "load_checkpoint",
    "numbered",
    "read_sealed_json",
    "verify_run",
    "write_sealed_json",
    "write_sealed_text",
    "write_text_atomically",
]

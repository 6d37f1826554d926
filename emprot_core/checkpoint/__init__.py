"""The checkpoint store: write, hash, verify, rotate, find the newest valid one."""

from emprot_core.checkpoint.appended import APPENDED, AppendedFiles
from emprot_core.checkpoint.files import write_atomically, write_text_atomically
from emprot_core.checkpoint.load import CheckpointError, best_weights, load_checkpoint
from emprot_core.checkpoint.self_hashed import Damaged, read_hashed_json, write_hashed_json, write_hashed_text
from emprot_core.checkpoint.store import BEST, FINAL, CheckpointStore, numbered
from emprot_core.checkpoint.verify import verify_run

__all__ = [
    "APPENDED",
    "BEST",
    "FINAL",
    "AppendedFiles",
    "CheckpointError",
    "CheckpointStore",
    "Damaged",
    "best_weights",
    "load_checkpoint",
    "numbered",
    "read_hashed_json",
    "verify_run",
    "write_atomically",
    "write_hashed_json",
    "write_hashed_text",
    "write_text_atomically",
]

"""The checkpoints of a run: a directory of hashed files and their index.

    index.json          {"files": {name: {"step", "metric", "sha256"}}}, replaced atomically
    step-00000120.pt    every so many steps; the newest few are kept
    best.pt, final.pt   replaced in place

A file counts only if its hash is in the index. best.pt and final.pt have the hash of their coming version
listed before the rename, so that one of the two is always valid.
"""

import json
import logging
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import torch

from emprot_core.checkpoint.files import sha256, write_atomically, write_text_atomically

BEST = "best.pt"
FINAL = "final.pt"
State = dict[str, Any]
_log = logging.getLogger("emprot")


class CheckpointError(ValueError):
    """A checkpoint that is missing, damaged, or lacks a piece."""


class Fault(NamedTuple):
    """A file that does not hold what was written, and how."""

    path: Path
    what: str


class CheckpointStore:
    """Writes, verifies, rotates and finds checkpoints in one directory."""

    def __init__(self, directory: str | Path):
        self.directory = Path(directory)

    def save_step(self, state: State, step: int, keep_last: int) -> None:
        """Write step-<step>.pt, then remove all but the newest `keep_last` step files."""
        self._save(_step_name(step), state, step, None)
        index = self._read_index()
        old = sorted(name for name in index if _is_step_file(name))[:-keep_last]
        for name in old:
            del index[name]
        if old:
            self._write_index(index)
        for name in old:
            (self.directory / name).unlink(missing_ok=True)

    def save_named(self, name: str, state: State, step: int, metric: float | None = None) -> None:
        """Write best.pt or final.pt in the place of the one before."""
        self._save(name, state, step, metric)

    def newest_valid(self) -> tuple[Path, State] | None:
        """The newest step checkpoint that holds what was written, or None; damaged newer ones are named in the log."""
        index = self._read_index()
        for name in sorted((name for name in index if _is_step_file(name)), reverse=True):
            path = self.directory / name
            fault = _check(path, index[name])
            if fault is None:
                return path, load_checkpoint(path)
            _log.warning("%s %s; going back to the checkpoint before it", fault.path, fault.what)
        return None

    def load(self, name: str) -> State:
        """A checkpoint by file name, after its hash was checked.

        Raises:
            CheckpointError: the file is missing, not in the index, or damaged.
        """
        index = self._read_index()
        if name not in index:
            raise CheckpointError(f"{self.directory} has no checkpoint {name}; it has {', '.join(index) or 'none'}")
        fault = _check(self.directory / name, index[name])
        if fault is not None:
            raise CheckpointError(f"{fault.path} {fault.what}; use another checkpoint of the run")
        return load_checkpoint(self.directory / name)

    def faults(self) -> list[Fault]:
        """Every file of the index that is missing or damaged."""
        checked = (_check(self.directory / name, entry) for name, entry in self._read_index().items())
        return [fault for fault in checked if fault is not None]

    def names(self) -> list[str]:
        """The files in the index."""
        return list(self._read_index())

    def _save(self, name: str, state: State, step: int, metric: float | None) -> None:
        self.directory.mkdir(parents=True, exist_ok=True)
        index = self._read_index()
        entry = {"step": step, "metric": metric}

        def announce(digest: str) -> None:
            if name in index:
                self._write_index({**index, name: {**index[name], "next_sha256": digest}})

        digest = write_atomically(self.directory / name, lambda file: _dump(state, file), announce)
        self._write_index({**index, name: {**entry, "sha256": digest}})

    def _read_index(self) -> dict[str, dict[str, Any]]:
        path = self.directory / "index.json"
        if not path.is_file():
            return {}
        try:
            return dict(json.loads(path.read_text())["files"])
        except (ValueError, KeyError, TypeError) as error:
            raise CheckpointError(
                f"{path} cannot be read ({error}); restore it, or start in another run.directory"
            ) from error

    def _write_index(self, index: dict[str, dict[str, Any]]) -> None:
        text = json.dumps({"files": dict(sorted(index.items()))}, indent=1) + "\n"
        write_text_atomically(self.directory / "index.json", text)


def load_checkpoint(path: str | Path) -> State:
    """The state in a checkpoint file, on the CPU; nothing in it can run code (weights_only).

    Raises:
        CheckpointError: the file is missing, is no checkpoint, or holds more than tensors and plain values.
    """
    path = Path(path)
    if not path.is_file():
        raise CheckpointError(f"{path} is not a file; give the path of a checkpoint, e.g. RUN_DIR/checkpoints/best.pt")
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch.load raises what the damage makes it meet: EOFError, RuntimeError, pickle's...
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise CheckpointError(f"{path} is not a readable checkpoint ({reason}); use another one") from error
    if not isinstance(state, dict) or "model_state_dict" not in state:
        raise CheckpointError(f"{path} holds no model_state_dict; give a checkpoint that EMPROT wrote")
    return state


def best_weights(state: State) -> dict[str, torch.Tensor]:
    """The weights that a checkpoint was judged by: averaged ones where the run kept such, else the model's."""
    return state.get("evaluation_state_dict") or state["model_state_dict"]


def verify_run(directory: str | Path) -> list[str]:
    """One line per file of a run's checkpoints: `name: ok`, or what is damaged."""
    checkpoints = Path(directory) / "checkpoints"
    if not checkpoints.is_dir():
        raise CheckpointError(f"{directory} holds no checkpoints; give the directory of a run")
    store = CheckpointStore(checkpoints)
    broken = {fault.path.name: fault.what for fault in store.faults()}
    return [f"{name}: {'damaged: it ' + broken[name] if name in broken else 'ok'}" for name in store.names()]


def _dump(state: State, file: BinaryIO) -> None:
    torch.save(state, file)


def _check(path: Path, entry: dict[str, Any]) -> Fault | None:
    if not path.is_file():
        return Fault(path, "is missing")
    if sha256(path) not in (entry["sha256"], entry.get("next_sha256")):
        return Fault(path, "is damaged: its SHA-256 differs from the one in index.json")
    return None


def _step_name(step: int) -> str:
    return f"step-{step:08d}.pt"


def _is_step_file(name: str) -> bool:
    return name.startswith("step-")

"""The checkpoints of a run: a directory of hashed files and their index.

    index.json          {"files": {name: {"step", "metric", "sha256"}}, "sha256"}, replaced atomically
    step-00000120.pt    every so many steps; the newest few are kept
    best-00000084.pt    the best few validations, where more than one is kept
    best.pt, final.pt   replaced in place

A file counts only if its hash is in the index. A file that is replaced has its coming version listed ("next") before
the rename, so that one of the two is always valid. Where the index itself is damaged, the checkpoints are judged by
the CRC-32 of their parts (they are zip archives), and the next save writes it anew.
"""

import logging
import re
from collections.abc import Collection
from pathlib import Path
from typing import Any, NamedTuple

import torch

from emprot_core.checkpoint.files import sha256, write_atomically
from emprot_core.checkpoint.load import CheckpointError, State, is_whole, load_checkpoint
from emprot_core.checkpoint.sealed import Damaged, read_sealed_json, write_sealed_json

BEST = "best.pt"
FINAL = "final.pt"
Index = dict[str, dict[str, Any]]
_NUMBERED = re.compile(r"(step|best)-\d{8}\.pt")
_log = logging.getLogger("emprot")


class Fault(NamedTuple):
    """A file that does not hold what was written, and how."""

    path: Path
    what: str


class CheckpointStore:
    """Writes, verifies, rotates and finds checkpoints in one directory."""

    def __init__(self, directory: str | Path):
        self.directory = Path(directory)
        self._told_of_index = False

    def save(self, name: str, state: State, metric: float | None = None, outdated: Collection[str] = ()) -> None:
        """Write a checkpoint of `state["step"]`, in the place of one of the same name.

        Args:
            outdated: numbered checkpoints that go once this one is on the disk.

        Raises:
            CheckpointError: the disk is full or broken; the checkpoints before it stand as they were.
        """
        index = self._index()

        def announce(digest: str) -> None:
            if name in index:
                self._write_index({**index, name: {**index[name], "next": _entry(state, metric, digest)}})

        try:
            self.directory.mkdir(parents=True, exist_ok=True)
            digest = write_atomically(self.directory / name, lambda file: torch.save(state, file), announce)
            kept = {old: entry for old, entry in index.items() if old not in outdated}
            self._write_index({**kept, name: _entry(state, metric, digest)})
            self._sweep({*kept, name})
        except OSError as error:
            raise CheckpointError(
                f"{self.directory / name} could not be written ({error.strerror or error}); the checkpoints before it "
                "are untouched: make room, or repair the disk, and the same command goes on from the newest of them"
            ) from error

    def newest_valid(self) -> tuple[Path, State] | None:
        """The checkpoint of the latest step that holds what was written, or None; damaged ones are named in the log."""
        damaged = self.faults()
        for fault in damaged:
            _log.warning("%s %s; it is left out", fault.path, fault.what)
        left_out = {fault.path.name for fault in damaged}
        name = next((name for name in self.newest_first() if name not in left_out), None)
        return (self.directory / name, load_checkpoint(self.directory / name)) if name is not None else None

    def newest_first(self) -> list[str]:
        """The files in the index, the latest step first."""
        index = self._index()
        return sorted(index, key=lambda name: (index[name]["step"], name), reverse=True)

    def at_step(self, step: int) -> State | None:
        """A valid checkpoint of a step, or None; damaged ones are named in the log."""
        for name, entry in sorted(self._index().items()):
            if entry["step"] != step:
                continue
            fault = _check(self.directory / name, entry)
            if fault is None:
                return load_checkpoint(self.directory / name)
            _log.warning("%s %s; looking for another of step %d", fault.path, fault.what, step)
        return None

    def load(self, name: str) -> State:
        """A checkpoint by file name, after its hash was checked.

        Raises:
            CheckpointError: the file is missing, not in the index, or damaged.
        """
        index = self._index()
        if name not in index:
            raise CheckpointError(f"{self.directory} has no checkpoint {name}; it has {', '.join(index) or 'none'}")
        fault = _check(self.directory / name, index[name])
        if fault is not None:
            raise CheckpointError(f"{fault.path} {fault.what}; restore it, or train again into another run.directory")
        return load_checkpoint(self.directory / name)

    def faults(self) -> list[Fault]:
        """Every file of the index that is missing or damaged."""
        checked = (_check(self.directory / name, entry) for name, entry in self._index().items())
        return [fault for fault in checked if fault is not None]

    def holds(self, name: str, step: int) -> bool:
        """Whether a file is there, undamaged and of this step."""
        entry = self._index().get(name)
        return entry is not None and entry["step"] == step and _check(self.directory / name, entry) is None

    def names(self) -> list[str]:
        """The files in the index."""
        return list(self._index())

    def _sweep(self, listed: Collection[str]) -> None:
        """Remove outdated checkpoints and what a killed process left: all of ours that the index does not know."""
        for path in self.directory.iterdir():
            name = path.name.removeprefix(".").removesuffix(".partial")
            is_ours = _NUMBERED.fullmatch(name) or name in (BEST, FINAL, "index.json")
            if is_ours and path.name not in (*listed, BEST, FINAL, "index.json"):
                path.unlink(missing_ok=True)

    def _index(self) -> Index:
        path = self.directory / "index.json"
        try:
            index: Index = read_sealed_json(path)["files"]
            return {name: _version_there(self.directory / name, entry) for name, entry in index.items()}
        except FileNotFoundError:
            return {}
        except Damaged as damage:
            if not self._told_of_index:
                _log.warning("%s; the checkpoints beside it are judged by their own CRC-32", damage)
            self._told_of_index = True
        whole = (path for path in sorted(self.directory.glob("*.pt")) if is_whole(path))
        return {path.name: _entry(load_checkpoint(path), None, sha256(path)) for path in whole}

    def _write_index(self, index: Index) -> None:
        write_sealed_json(self.directory / "index.json", {"files": dict(sorted(index.items()))})


def numbered(kind: str, step: int) -> str:
    """The name of a checkpoint of a kind ("step" or "best") and step."""
    return f"{kind}-{step:08d}.pt"


def _entry(state: State, metric: float | None, digest: str) -> dict[str, Any]:
    return {"step": state["step"], "metric": metric, "sha256": digest}


def _version_there(path: Path, entry: dict[str, Any]) -> dict[str, Any]:
    """The entry of the file that stands at `path`, where a killed process left two of them."""
    coming = entry.pop("next", None)
    return coming if coming is not None and path.is_file() and sha256(path) == coming["sha256"] else entry


def _check(path: Path, entry: dict[str, Any]) -> Fault | None:
    if not path.is_file():
        return Fault(path, "is missing")
    if sha256(path) != entry["sha256"]:
        return Fault(path, "is damaged: its SHA-256 differs from the one in index.json")
    return None

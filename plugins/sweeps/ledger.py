"""What a sweep has done: its plan, the values of every trial, and who works on it, in files that machines can share.

A trial is a number, its values, the digest of its config, and the directory trial-<number>. It is finished when its
result.json says so. A process that works on it holds the lock of its claim, and so does the process that trains: as
long as one of the two lives, nobody else takes the trial.
"""

import os
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from emprot_core.disk import make_directory, open_own, sync_directory, try_lock
from emprot_core.errors import EmprotError
from emprot_core.files import Damaged, read_hashed_json, write_hashed_json
from emprot_core.jobs.settings import SWEEP_FILE

FREE, FINISHED, FAILED, PRUNED = "free", "finished", "failed", "pruned"


class Trial(NamedTuple):
    """One config of a sweep."""

    number: int
    values: dict[str, str]  # gin text by the name of the binding
    digest: str
    directory: Path


class Ledger:
    """The files of a sweep's directory."""

    def __init__(self, directory: Path, plan: dict[str, Any]):
        """Begin a sweep, or go on with the one that is there.

        Raises:
            EmprotError: another sweep is there, or a file is damaged.
        """
        self.directory, self._trials = directory, directory / "trials"
        make_directory(self._trials)
        path = directory / SWEEP_FILE
        if not path.exists():
            _create(path, plan)
        before = _read(path)
        if changed := list(_changes(before, plan)):
            told = "\n  ".join(changed)
            raise EmprotError(
                f"{directory} holds another sweep:\n  {told}\nbind another run.directory, or take back the change"
            )

    def add(self, number: int, values: dict[str, str], digest: str) -> Trial:
        """Enter a trial under its number. If another process was first, its trial is the one that counts."""
        path = self._path(number)
        if not path.exists():
            _create(path, {"number": number, "values": values, "digest": digest})
        return self.trial(number)

    def trial(self, number: int) -> Trial:
        record = _read(self._path(number))
        return Trial(number, record["values"], record["digest"], self.directory / f"trial-{number}")

    def trials(self) -> list[Trial]:
        """Those entered so far."""
        numbers = sorted(int(path.stem) for path in self._trials.glob("*.json") if path.stem.isdigit())
        return [self.trial(number) for number in numbers]

    def state(self, trial: Trial) -> str:
        """finished, failed, pruned, or else free; a free one may be running."""
        if self.result(trial).get("status") == FINISHED:
            return FINISHED
        return self.why(trial).get("state", FREE)

    def result(self, trial: Trial) -> dict[str, Any]:
        """What result.json of the trial says; {} if there is none."""
        path = trial.directory / "result.json"
        return _read(path) if path.exists() else {}

    def why(self, trial: Trial) -> dict[str, Any]:
        """{"state": failed or pruned, "why": text} of a trial that ended without a result; else {}."""
        path = self._mark(trial)
        return _read(path) if path.exists() else {}

    def end(self, trial: Trial, state: str, why: str) -> None:
        """Note that a trial ended without a result."""
        write_hashed_json(self._mark(trial), {"state": state, "why": why})

    def claim(self, trial: Trial) -> int | None:
        """A file that is locked while it is open, here or in a process that inherits it; None if others have it."""
        path = self._trials / f"{trial.number}.lock"
        descriptor = open_own(path, os.O_RDWR | os.O_CREAT)
        if try_lock(descriptor, self.directory):
            return descriptor
        os.close(descriptor)
        return None

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Wait until no other worker is in this place."""
        with open(self._trials / "alone.lock", "w", opener=open_own) as file:
            while not try_lock(file.fileno(), self.directory):
                time.sleep(0.1)
            yield

    def log(self, trial: Trial) -> Path:
        """Where what the trial prints goes."""
        return self._trials / f"{trial.number}.log"

    def _path(self, number: int) -> Path:
        return self._trials / f"{number}.json"

    def _mark(self, trial: Trial) -> Path:
        return self._trials / f"{trial.number}-ended.json"


def _changes(before: dict[str, Any], after: dict[str, Any]) -> Iterator[str]:
    """One line for each entry that differs, those of dicts inside included."""
    for key in dict.fromkeys([*after, *before]):
        was, becomes = before.get(key), after.get(key)
        if isinstance(was, dict) and isinstance(becomes, dict):
            yield from _changes(was, becomes)
        elif was != becomes and key != "sha256":
            yield f"{key}: {was} -> {becomes}"


def _create(path: Path, record: dict[str, Any]) -> None:
    """Write a file that was not there; if another process did so first, leave that."""
    own = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
    write_hashed_json(own, record)
    try:
        os.link(own, path)
    except FileExistsError:
        pass
    finally:
        own.unlink()
    sync_directory(path.parent)


def _read(path: Path) -> dict[str, Any]:
    try:
        return read_hashed_json(path)
    except Damaged as damage:
        raise EmprotError(f"{damage}; remove it if the sweep may begin that again") from damage

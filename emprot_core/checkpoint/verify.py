"""Checks every file of a run against the hash that was recorded when it was written."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from emprot_core.checkpoint.appended import APPENDED, faults_of
from emprot_core.checkpoint.load import CheckpointError, is_whole
from emprot_core.checkpoint.self_hashed import Damaged, check_hashed
from emprot_core.checkpoint.store import CheckpointStore

INDEX = "checkpoints/index.json"
SELF_HASHED = ("config.gin", "operative_config.gin", "result.json", "non_finite.json", INDEX)
"""The files of a run directory that hold their own hash."""


def verify_run(directory: str | Path) -> list[str]:
    """One line per file of a run: `name: ok`, or `name: damaged: ...`.

    Files that a run appends to (metrics.jsonl, event files) are checked up to the size that the newest checkpoint
    recorded. run.log is for people and is not checked.

    Raises:
        CheckpointError: the directory holds no run.
    """
    directory = Path(directory)
    if not any((directory / name).exists() for name in (*SELF_HASHED, "checkpoints")):
        what = "holds no run" if directory.is_dir() else "is no directory" if directory.exists() else "does not exist"
        raise CheckpointError(f"{directory} {what}; give the directory of a run")
    store = CheckpointStore(directory / "checkpoints")
    broken = store.faults()
    newest = store.newest_valid()
    appended = _appended(directory, newest[1]) if newest is not None else ()
    return [*_checkpoints(store, broken), *_self_hashed(directory), *appended]


def _checkpoints(store: CheckpointStore, broken: dict[str, str]) -> Iterator[str]:
    names = store.names()
    for path in sorted(store.directory.glob("*.pt")):
        if path.name not in names:
            what = "not in index.json, so not used" if is_whole(path) else "damaged: it is not whole"
            yield f"checkpoints/{path.name}: {what}"
    for name in names:
        yield f"checkpoints/{name}: {_damage(broken[name]) if name in broken else 'ok'}"


def _damage(what: str) -> str:
    return what.replace("is damaged", "damaged", 1) if what.startswith("is damaged") else f"damaged: it {what}"


def _self_hashed(directory: Path) -> Iterator[str]:
    for name in SELF_HASHED:
        try:
            check_hashed(directory / name)
            yield f"{name}: ok"
        except Damaged as damage:
            yield f"{name}: damaged: {damage}"
        except FileNotFoundError:
            if name == INDEX:
                yield f"{name}: damaged: it is missing"


def _appended(directory: Path, state: dict[str, Any]) -> Iterator[str]:
    for hook in state["hooks"].values():
        for name, measured in hook.get(APPENDED, {}).items():
            faults = faults_of(directory, {name: measured})
            yield f"{name}: {'damaged: ' + faults[0] if faults else 'ok'}"

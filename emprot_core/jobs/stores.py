"""Finds the stores of a run again, after the run or the stores have moved, or from another directory."""

import hashlib
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from emprot_core.contracts import Data, ReadsStores
from emprot_core.data.remote_store import is_remote
from emprot_core.data.store import SAMPLE_PREFIX, StoreError

Record = dict[str, dict[str, str]]
"""By the path that the config gives: digest, vocabulary_digest, and from_run, the path from the run's directory."""


def stores_of(data: Data, directory: Path) -> Record:
    """What a run keeps about the stores of its data."""
    if not isinstance(data, ReadsStores):
        return {}
    record = {}
    for place in data.places_of_stores():
        entry = record[place.given] = {"digest": place.digest, "vocabulary_digest": place.vocabulary_digest}
        if not _is_named(place.given):
            entry["from_run"] = os.path.relpath(place.directory, directory.absolute())
    return record


def directories_of(data: Data) -> list[str]:
    """The directories of the stores that data are read from."""
    return (
        [str(place.directory.resolve()) for place in data.places_of_stores()] if isinstance(data, ReadsStores) else []
    )


def find_stores(record: Record, directory: Path, places: Sequence[str | Path] = ()) -> dict[str, Any]:
    """The argument `store` with which the data of a run are built now; none if the run says nothing of its stores.

    A store is looked for as the config names it, from the directory of the run, and among the places. Only one whose
    digest is that of the run is taken.

    Args:
        places: stores, or folders of stores.

    Raises:
        StoreError: a store is in none of these places.
    """
    found = [_find(given, entry, directory, places) for given, entry in record.items()]
    return {"store": found[0] if len(found) == 1 else found} if found else {}


def are_stores_of(record: Record, places: Sequence[str | Path]) -> bool:
    """Whether each of the places is a store of the run, or a folder with one."""
    own = {entry["digest"] for entry in record.values()}
    return all(own & {_digest(Path(place)), *map(_digest, _stores_in(place))} for place in places)


def vocabularies_of(record: Record) -> set[str]:
    """The digests of the vocabularies of a run's stores: one, or none."""
    return {entry["vocabulary_digest"] for entry in record.values()}


def _find(given: str, entry: dict[str, str], directory: Path, places: Sequence[str | Path]) -> str:
    candidates = list(_candidates(given, entry, directory, places))
    for path in candidates:
        if _is_named(given) or _digest(path) == entry["digest"]:
            return given if _is_named(given) else str(path)
    looked = ", ".join(dict.fromkeys(str(path) for path in candidates))
    others = [str(path) for path in candidates if _digest(path)]
    state = f" ({', '.join(others)} has other data)" if others else ""
    raise StoreError(
        f"{directory} was trained on the store {given}, which is not there now: looked at {looked}{state}; "
        "bring the store back, or name where it lies: Evaluate.store, or load_run(..., stores=[...])"
    )


def _candidates(given: str, entry: dict[str, str], directory: Path, places: Sequence[str | Path]) -> Iterator[Path]:
    yield Path(given)
    if not _is_named(given):
        yield Path(os.path.normpath(directory / entry["from_run"]))
        for place in map(Path, places):
            yield place
            yield from _stores_in(place)


def _is_named(given: str) -> bool:
    """Whether a store is found by its name, wherever the run is: the sample, and what has an address."""
    return given.startswith(SAMPLE_PREFIX) or is_remote(given)


def _stores_in(folder: str | Path) -> list[Path]:
    return sorted(path.parent for path in Path(folder).glob("*/store.json"))


def _digest(directory: Path) -> str:
    """The digest of a store, "" if there is none."""
    try:
        return hashlib.sha256((directory / "store.json").read_bytes()).hexdigest()
    except OSError:
        return ""

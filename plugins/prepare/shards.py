"""Shares of a Prepare, for schedulers that can run commands and nothing else: each encodes some of the trajectories."""

import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from emprot_core.errors import EmprotError
from emprot_core.files import Damaged, read_hashed_json, write_hashed_json
from emprot_core.words import first_of

from .parts import part_stem


class Shard(NamedTuple):
    """One of several shares of the trajectories."""

    number: int  # from 1
    of: int

    def share(self, names: Sequence[str]) -> list[str]:
        """Every `of`-th name, so that neighbours, which are alike in size as a rule, go to different shares."""
        return list(names[self.number - 1 :: self.of])


def parse_shard(text: str | None) -> Shard | None:
    """
    Raises:
        EmprotError: it is not written as 3/20.
    """
    if text is None:
        return None
    found = re.fullmatch(r"(\d+)/(\d+)", text)
    if found is None or not 1 <= int(found[1]) <= int(found[2]):
        raise EmprotError(
            f"Prepare.shard is {text!r}, expected a number and how many there are, from '1/20' to '20/20'"
        )
    return Shard(int(found[1]), int(found[2]))


def note_skipped(folder: Path, keys: Mapping[str, str], skipped: Mapping[str, str]) -> None:
    """Keep why a shard left trajectories out, for the merge."""
    for name, reason in skipped.items():
        if name in keys:
            write_hashed_json(_note(folder, name), {"key": keys[name], "reason": reason})


def skipped_before(folder: Path, keys: Mapping[str, str]) -> dict[str, str]:
    """Why shards left trajectories out, by name, where their files, reader and tokenizers are still the same."""
    found = {}
    for name, key in keys.items():
        try:
            note = read_hashed_json(_note(folder, name), key=str, reason=str)
        except (FileNotFoundError, Damaged):
            continue
        if note["key"] == key:
            found[name] = note["reason"]
    return found


def check_complete(missing: Iterable[str], total: int, folder: Path) -> None:
    """
    Raises:
        EmprotError: a shard has not come to its end.
    """
    if names := list(missing):
        raise EmprotError(
            f"{len(names)} of {total} trajectories are not encoded in {folder}: {first_of(names)}; run the shards that "
            "did not come to their end again, or leave --merge out to encode them here"
        )


def _note(folder: Path, name: str) -> Path:
    return part_stem(folder, name).with_suffix(".skipped.json")

"""Encodes all trajectories, or those of a shard, as far as their parts are missing."""

import logging
from collections.abc import Callable, Generator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any, Literal

from emprot_core.breach import ContractBroken
from emprot_core.contracts import Reader, Tokenizer
from emprot_core.disk import make_directory
from emprot_core.errors import EmprotError

from .encoding import Encoder, encode_trajectory
from .encoding_progress import with_progress
from .part_keys import part_keys
from .parts import Part, find_part, remove_unfinished
from .shards import Shard, check_complete, note_skipped, skipped_before

_log = logging.getLogger("emprot")
Work = Callable[..., Generator[tuple[Any, Part | ValueError], None, None]]


class Encoding:
    """Makes parts of trajectories, and remembers which were skipped and why.

    Attributes:
        skipped: the reason, by name.
        new: the parts that were made now.
    """

    def __init__(
        self,
        reader: Reader,
        tokenizers: Sequence[Tokenizer],
        folder: Path,
        on_error: Literal["refuse", "skip"],
        work: Work,
    ):
        """
        Args:
            folder: of the parts.
            work: does encode_trajectory(encoder, *task) for tasks (name, path, key).
        """
        self._encoder, self._on_error, self._work = Encoder(reader, tokenizers, folder), on_error, work
        self.skipped: dict[str, str] = {}
        self.new: list[Part] = []

    def parts(self, trajectories: dict[str, Path], shard: Shard | None = None, is_merge: bool = False) -> list[Part]:
        """The parts of all trajectories, or of a shard, in the order of their names.

        Args:
            is_merge: the shards have made them all.

        Raises:
            EmprotError: a trajectory is bad and `on_error` is "refuse", or a part is missing in a merge.
        """
        reader, tokenizers, folder = self._encoder
        make_directory(folder)
        if shard is None:  # others of a shard are still being made
            remove_unfinished(folder)
        names = list(trajectories) if shard is None else shard.share(list(trajectories))
        chosen = {name: trajectories[name] for name in names if name not in self.skipped}
        keys = part_keys(reader, tokenizers, chosen)
        if is_merge and self._on_error == "skip":
            self.skipped |= skipped_before(folder, keys)
        parts = {name: part for name, key in keys.items() if (part := find_part(folder, name, key))}
        if parts:
            _log.info("%d trajectories are encoded already, in %s", len(parts), folder)
        missing = [(n, chosen[n], key) for n, key in keys.items() if n not in parts and n not in self.skipped]
        if is_merge:
            check_complete([name for name, *_ in missing], len(trajectories), folder)
        with closing(self._work(encode_trajectory, self._encoder, missing)) as results:
            for name, result in with_progress(results, len(keys), len(parts)):
                if isinstance(result, ValueError):
                    self.skip(name, result)
                else:
                    parts[name] = result
                    self.new.append(result)
        if shard is not None:
            note_skipped(folder, keys, self.skipped)
        return [parts[name] for name in names if name in parts]

    def skip(self, name: str, error: ValueError) -> None:
        """Leave a trajectory out, or refuse it, as `on_error` says."""
        if isinstance(error, ContractBroken):
            raise error
        if self._on_error == "refuse":
            raise EmprotError(f"{error}; Prepare.on_error = 'skip' leaves such trajectories out") from error
        self.skipped[name] = str(error)
        _log.warning("skipped %s: %s", name, error)

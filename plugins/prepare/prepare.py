"""Makes trajectory stores from the files of simulations."""

import fnmatch
import logging
import os
import shutil
import time
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Literal

from tqdm import tqdm

from emprot_core.contracts import DataSplit, Reader, Tokenizer
from emprot_core.data.store import StoreError, TrajectoryStore
from emprot_core.errors import EmprotError
from emprot_core.jobs.context import RunContext, RunRefused
from emprot_core.registry import register

from . import fitting
from .encoding import Encoder, encode_trajectory
from .encoding_progress import with_progress
from .part_keys import part_keys
from .parts import Part, find_part, remove_unfinished
from .store_parts import write_stores
from .store_report import report_store, training_command
from .trajectory_files import find_trajectories
from .workers import run_in_workers

_log = logging.getLogger("emprot")
_PARTS, _UNSEEN = ".parts", "stores"


@register("job")
class Prepare:
    """Reads trajectories, turns them into cluster IDs, and writes one store per tokenizer: <output>/<its name>.

    A trajectory is named by its path below the common folder of all, without the suffix; if the reader knows no
    protein, that name is also its group. Stores appear only once all are complete, read back, and checked for hashes
    and IDs. <output>/<name>.report.json says what a store holds and what looks wrong.

    Trajectories are encoded into <output>/.parts, several at a time. If Prepare was interrupted, running it again goes
    on with the missing ones. A part is used again only while its files, reader and tokenizers are unchanged.
    """

    def __init__(
        self,
        source: str | Sequence[str],
        reader: Reader,
        tokenizers: Sequence[Tokenizer],
        output: str,
        fit_on: Sequence[str] = (),
        fit_fraction: float = 0.7,
        on_error: Literal["refuse", "skip"] = "refuse",
        group_by: Literal["group", "sequence"] = "group",
        num_workers: int = 1,
        split: DataSplit | None = None,
        compact: bool = False,
    ):
        """
        Args:
            source: files, patterns of files (`runs/**/*.xtc`), or sample:coordinates.
            reader: reads those files.
            tokenizers: each of them gets one store.
            output: directory for the stores, none of which may exist yet.
            fit_on: patterns for the names of the trajectories that tokenizers learn from. It is empty by default,
                because test trajectories must not be among them.
            fit_fraction: share of the frames of each, in (0, 1], taken from the start because test frames come later.
                With a split, only the training frames among them are used.
            on_error: with a damaged trajectory, "refuse" ends the run and "skip" leaves it out; either names it.
            group_by: "sequence" puts trajectories with the same residue sequence in one group, that of the first.
            num_workers: number of processes that encode; 0 means one per core.
            split: a split to keep in every store, for runs that bind splits.Stored.
            compact: renumber the classes that occur as 0, 1, ...; the store keeps their former IDs (class_ids).

        Raises:
            EmprotError: an option is out of range, or tokenizers are missing or have the same name.
        """
        names = [tokenizer.name for tokenizer in tokenizers]
        if not names or len(set(names)) < len(names):
            raise EmprotError(f"Prepare.tokenizers are {names}, expected one or more of different names")
        for name, value, is_fine, expected in (
            ("fit_fraction", fit_fraction, 0 < fit_fraction <= 1, "a number in (0, 1]"),
            ("on_error", on_error, on_error in ("refuse", "skip"), "'refuse' or 'skip'"),
            ("group_by", group_by, group_by in ("group", "sequence"), "'group' or 'sequence'"),
            ("num_workers", num_workers, num_workers >= 0, "a number of processes, or 0 for all cores"),
        ):
            if not is_fine:
                raise EmprotError(f"Prepare.{name} is {value!r}, expected {expected}")
        self.source = [source] if isinstance(source, str) else list(source)
        self.reader, self.tokenizers, self.output = reader, tokenizers, Path(output)
        self.fit_on, self.fit_fraction, self.num_workers = fit_on, fit_fraction, num_workers or os.cpu_count() or 1
        self.on_error, self.group_by = on_error, group_by
        self.split, self.compact = split, compact
        self._parts = self.output / _PARTS

    def run(self, context: RunContext) -> None:
        """Write the stores, and log and save a report on each.

        Raises:
            EmprotError: no file matches, one cannot be read or encoded, or `fit_on` matches no trajectory.
            StoreError: a store exists already.
            RunRefused: a library that the reader needs is not installed.
        """
        try:
            self._run()
        except ModuleNotFoundError as error:
            raise RunRefused(str(error)) from error
        except KeyboardInterrupt:
            if self._parts.exists():
                _log.warning("what is encoded is kept in %s: the same command goes on with the rest", self._parts)
            raise

    def _run(self) -> None:
        started = time.perf_counter()
        self._refuse_existing()
        trajectories = find_trajectories(self.source, self.reader)
        learnt, skipped = self._fit(trajectories)
        parts, new = self._encode({n: path for n, path in trajectories.items() if n not in skipped}, skipped)
        groups = fitting.groups_of(parts, self.group_by)
        fitting.check_still_inside(learnt, fitting.inside_training(learnt, parts, groups, self.split), parts)
        spans = None if self.split is None else self.split.spans(fitting.index_of(parts, groups))
        unseen = self._parts / _UNSEEN
        write_stores(unseen, self.tokenizers, parts, self._parts, groups, spans, self.compact)
        elapsed_s = time.perf_counter() - started
        reports = {}
        for name in (tokenizer.name for tokenizer in self.tokenizers):
            store = TrajectoryStore(unseen / name, verify=True)
            reports[name] = report_store(store, self.output / name, parts, skipped, new, elapsed_s)
        self._refuse_existing()  # check again, because hours may have passed: publish all or none
        for name, report in reports.items():
            report.write(self.output / f"{name}.report.json")
            _log.info("%s", "\n".join(report.lines()))
            os.rename(unseen / name, self.output / name)
        _log.info("%d of %d trajectories were encoded now, in %.1f s", len(new), len(parts), elapsed_s)
        for folder in (self.output / name for name in reports):
            _log.info("train on it: %s", training_command(folder, TrajectoryStore(folder)))
        shutil.rmtree(self._parts)

    def _refuse_existing(self) -> None:
        for store in (self.output / tokenizer.name for tokenizer in self.tokenizers):
            if store.exists() or store.is_symlink():
                kept = f"; what is encoded is kept in {self._parts}" if self._parts.exists() else ""
                raise StoreError(f"{store} exists; remove it or bind another Prepare.output{kept}")

    def _fit(self, trajectories: dict[str, Path]) -> tuple[fitting.Spans, dict[str, str]]:
        """Fit every tokenizer; return the frames used, and the skipped trajectories with the reason for each."""
        if not self.fit_on:
            return {}, {}
        chosen = [name for name in trajectories if any(fnmatch.fnmatchcase(name, p) for p in self.fit_on)]
        if not chosen:
            raise EmprotError(f"Prepare.fit_on = {list(self.fit_on)} matches none of {', '.join(trajectories)}")
        measured: dict[str, fitting.Measured] = {}
        skipped: dict[str, str] = {}
        looked_at = chosen if self.split is None else list(trajectories)  # a split depends on all of them
        for name in tqdm(looked_at, desc="counting frames to learn from", unit=" trajectory", disable=None):
            try:
                measured[name] = fitting.measure(self.reader, name, trajectories[name])
            except ValueError as error:
                self._skip(name, error, skipped)
        every = list(measured.values())
        spans = fitting.first_frames([measured[name] for name in chosen if name in measured], self.fit_fraction)
        spans = fitting.inside_training(spans, every, fitting.groups_of(every, self.group_by), self.split)
        if not spans:
            raise EmprotError(
                f"Prepare.fit_on = {list(self.fit_on)} leaves no frame to learn from: the split holds out, or the "
                f"readers refuse, all of {', '.join(chosen[:8])}; name other trajectories"
            )
        for tokenizer in self.tokenizers:
            tokenizer.fit(fitting.read_spans(self.reader, trajectories, spans))
        return spans, skipped

    def _encode(self, trajectories: dict[str, Path], skipped: dict[str, str]) -> tuple[list[Part], list[Part]]:
        """The parts of all trajectories in the order of their names, and those that were made now."""
        self._parts.mkdir(parents=True, exist_ok=True)
        remove_unfinished(self._parts)
        encoder = Encoder(self.reader, self.tokenizers, self._parts)
        keys = part_keys(self.reader, self.tokenizers, trajectories)
        parts = {name: part for name in keys if (part := find_part(self._parts, name, keys[name]))}
        if parts:
            _log.info("%d trajectories are encoded already, in %s", len(parts), self._parts)
        missing = [(name, path, keys[name]) for name, path in trajectories.items() if name not in parts]
        new: list[Part] = []
        with closing(run_in_workers(encode_trajectory, encoder, missing, self.num_workers)) as work:
            for name, result in with_progress(work, len(keys), len(parts)):
                if isinstance(result, ValueError):
                    self._skip(name, result, skipped)
                else:
                    parts[name] = result
                    new.append(result)
        if not parts:
            raise EmprotError(f"none of {len(trajectories)} trajectories could be used: {next(iter(skipped.values()))}")
        return [parts[name] for name in trajectories if name in parts], new

    def _skip(self, name: str, error: ValueError, skipped: dict[str, str]) -> None:
        if self.on_error == "refuse":
            raise EmprotError(f"{error}; Prepare.on_error = 'skip' leaves such trajectories out") from error
        skipped[name] = str(error)
        _log.warning("skipped %s: %s", name, error)

"""Makes trajectory stores from the files of simulations."""

import logging
import os
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Literal

from emprot_core.contracts import DataSplit, Executor, Reader, Tokenizer
from emprot_core.data.store import StoreError, TrajectoryStore
from emprot_core.errors import EmprotError
from emprot_core.jobs.context import RunContext, RunRefused
from emprot_core.registry import register

from . import fitting
from .encode_all import Encoding
from .encoding import check_tokenizers
from .publishing import discard, finish_earlier, held, publish
from .selected_frames import Place, SelectedFrames
from .shards import Shard, parse_shard
from .store_parts import write_stores
from .store_report import report_store, training_command
from .trajectory_files import find_trajectories
from .workers import run_in_workers

_log, _PARTS, _UNSEEN = logging.getLogger("emprot"), ".parts", "stores"


@register("job")
class Prepare:
    """Reads trajectories, turns them into cluster IDs, and writes one store per tokenizer: <output>/<its name>.

    A trajectory is named by its path below the common folder of all, without the suffix; if the reader knows no
    protein, that name is also its group. Stores appear once all are complete and checked. <output>/<name>.report.json
    says what a store holds and what looks wrong. An interrupted Prepare goes on from <output>/.parts, whose parts are
    used again while their files, reader and tokenizers are unchanged.
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
        start: Place = 0,
        stop: Place | None = None,
        stride: Place = 1,
        add: bool = False,
        executor: Executor | None = None,
        shard: str | None = None,
    ):
        """
        Args:
            source: files, patterns of files (`runs/**/*.xtc`), or sample:coordinates.
            reader: reads those files.
            tokenizers: each of them gets one store.
            output: directory for the stores.
            fit_on: patterns of the trajectories that tokenizers learn from; no test trajectory may be among them.
            fit_fraction: share of the frames of each, from the start; with a split the training frames among them.
            on_error: a damaged trajectory ends the run ("refuse") or is left out ("skip"); either names it.
            group_by: "sequence" puts trajectories of one residue sequence in one group, that of the first.
            num_workers: processes that encode, 0 for one a core; with 1 a file that crashes its library ends Prepare.
            split: kept in every store, for splits.Stored.
            compact: renumber the classes that occur as 0, 1, ...; the store keeps their former IDs (class_ids).
            start, stop, stride: every stride-th frame of a trajectory from start to before stop; numbers of frames, or
                times such as '10 ns', which need the reader's time_step_ns.
            executor: workers that encode instead of processes of this machine, such as @executors.dask().
            shard: '3/20' encodes the third of twenty shares of the trajectories and writes no store; --merge does.
            add: add the trajectories to the stores that exist in the output, which must have the same vocabulary.

        Raises:
            EmprotError: an option is out of range, or tokenizers are missing or have the same name.
        """
        check_tokenizers(tokenizers)
        for name, value, is_fine, expected in (
            ("fit_fraction", fit_fraction, 0 < fit_fraction <= 1, "a number in (0, 1]"),
            ("num_workers", num_workers, num_workers >= 0, "a number of processes, or 0 for all cores"),
        ):
            if not is_fine:
                raise EmprotError(f"Prepare.{name} is {value!r}, expected {expected}")
        if add and (split is not None or compact):
            raise EmprotError("Prepare.add takes neither Prepare.split nor Prepare.compact; prepare all of it anew")
        self.source = [source] if isinstance(source, str) else list(source)
        self.frames = SelectedFrames(reader, start, stop, stride)
        self.reader: Reader = reader if self.frames.takes_all else self.frames
        self.tokenizers, self.output, self.add = tokenizers, Path(output), add
        self.fit_on, self.fit_fraction = fit_on, fit_fraction
        self.num_workers, self.executor = num_workers or max(2, os.cpu_count() or 1), executor
        self.on_error, self.group_by, self.split, self.compact = on_error, group_by, split, compact
        self._parts, self._shard = self.output / _PARTS, parse_shard(shard)

    def run(self, context: RunContext) -> None:
        """Write the stores, and log and save a report on each.

        Raises:
            EmprotError: no file matches, one cannot be read or encoded, or `fit_on` matches no trajectory.
            StoreError: a store exists already, or another Prepare is writing there.
            RunRefused: a library that the reader needs is not installed.
        """
        self._hold(self._shard)

    def merge(self, context: RunContext) -> None:
        """Write the stores from what all shards have encoded.

        Raises:
            EmprotError: a trajectory is not encoded, because a shard did not come to its end.
            StoreError: a store exists already, or a shard is still running.
        """
        self._hold(None, is_merge=True)

    def _hold(self, shard: Shard | None, is_merge: bool = False) -> None:
        try:
            with held(self.output, is_shared=shard is not None):
                self._run(shard, is_merge)
        except ModuleNotFoundError as error:
            raise RunRefused(str(error)) from error
        except KeyboardInterrupt:
            if self._parts.exists():
                _log.warning("what is encoded is kept in %s: the same command goes on with the rest", self._parts)
            raise

    def _run(self, shard: Shard | None, is_merge: bool) -> None:
        started = time.perf_counter()
        if shard is None and finish_earlier(self._parts, self.output):
            _log.info("finished what an interrupted Prepare began in %s", self.output)
            return
        earlier = self._existing()
        trajectories = find_trajectories(self.source, self.frames.reader)
        work = partial(run_in_workers, num_workers=self.num_workers, executor=self.executor)
        encoding = Encoding(self.reader, self.tokenizers, self._parts, self.on_error, work)
        learnt, parts = self._fit(trajectories, encoding), encoding.parts(trajectories, shard, is_merge)
        if shard is not None:
            text = "shard %d of %d: %d trajectories are encoded; when all shards are, --merge writes the stores"
            _log.info(text, *shard, len(parts))
            return
        skipped, new = encoding.skipped, encoding.new
        if not parts:
            raise EmprotError(f"none of {len(trajectories)} trajectories could be used: {next(iter(skipped.values()))}")
        groups = fitting.groups_of(parts, self.group_by)
        fitting.check_still_inside(learnt, fitting.inside_training(learnt, parts, groups, self.split), parts)
        spans = None if self.split is None else self.split.spans(fitting.index_of(parts, groups))
        unseen = self._parts / _UNSEEN
        chosen = (self.compact, earlier, self.frames.description())
        write_stores(unseen, self.tokenizers, parts, self._parts, groups, spans, *chosen)
        elapsed_s = time.perf_counter() - started
        places = {tokenizer.name: self.output / tokenizer.name for tokenizer in self.tokenizers}
        opened = {name: TrajectoryStore(unseen / name, verify=True) for name in places}
        reports = [report_store(opened[name], places[name], parts, skipped, new, elapsed_s) for name in places]
        self._existing()  # check again, because hours may have passed: publish all or none
        for name, report in zip(places, reports, strict=True):
            report.write(self.output / f"{name}.report.json")
            _log.info("%s", "\n".join(report.lines()))
        publish(self._parts, unseen, self.output, places)
        _log.info("%d of %d trajectories were encoded now, in %.1f s", len(new), len(parts), elapsed_s)
        for place in places.values():
            _log.info("train on it: %s", training_command(place, TrajectoryStore(place)))
        discard(self._parts)

    def _existing(self) -> dict[str, TrajectoryStore]:
        """The stores that are added to, by name; StoreError if one exists and is not, or the other way round."""
        places = {tokenizer.name: self.output / tokenizer.name for tokenizer in self.tokenizers}
        if self.add:
            return {name: TrajectoryStore(store) for name, store in places.items()}
        for store in places.values():
            if store.exists() or store.is_symlink():
                kept = f"; what is encoded is kept in {self._parts}" if self._parts.exists() else ""
                raise StoreError(
                    f"{store} exists; remove it, bind another Prepare.output, or add to it: Prepare.add=True{kept}"
                )
        return {}

    def _fit(self, trajectories: dict[str, Path], encoding: Encoding) -> fitting.Spans:
        """Fit every tokenizer; return the frames used."""
        chosen = (self.fit_on, self.fit_fraction, self.group_by, self.split)
        spans = fitting.choose_spans(self.reader, trajectories, *chosen, encoding.skip)
        for tokenizer in self.tokenizers if spans else ():
            tokenizer.fit(fitting.read_spans(self.reader, trajectories, spans))
        return spans

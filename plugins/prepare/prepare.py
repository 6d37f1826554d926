"""Makes trajectory stores from the files of simulations."""

import logging
import os
import time
from collections.abc import Sequence
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Literal

from emprot_core.breach import ContractBroken
from emprot_core.contracts import DataSplit, Reader, Tokenizer
from emprot_core.data.store import StoreError, TrajectoryStore
from emprot_core.disk import make_directory
from emprot_core.errors import EmprotError
from emprot_core.jobs.context import RunContext, RunRefused
from emprot_core.registry import register

from . import fitting
from .encoding import Encoder, check_tokenizers, encode_trajectory
from .encoding_progress import with_progress
from .part_keys import part_keys
from .parts import Part, find_part, remove_unfinished
from .publishing import discard, finish_earlier, held, publish
from .selected_frames import Place, SelectedFrames
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
        self.num_workers = num_workers or max(2, os.cpu_count() or 1)
        self.on_error, self.group_by, self.split, self.compact = on_error, group_by, split, compact
        self._parts = self.output / _PARTS

    def run(self, context: RunContext) -> None:
        """Write the stores, and log and save a report on each.

        Raises:
            EmprotError: no file matches, one cannot be read or encoded, or `fit_on` matches no trajectory.
            StoreError: a store exists already, or another Prepare is writing there.
            RunRefused: a library that the reader needs is not installed.
        """
        try:
            with held(self.output):
                self._run()
        except ModuleNotFoundError as error:
            raise RunRefused(str(error)) from error
        except KeyboardInterrupt:
            if self._parts.exists():
                _log.warning("what is encoded is kept in %s: the same command goes on with the rest", self._parts)
            raise

    def _run(self) -> None:
        started = time.perf_counter()
        if finish_earlier(self._parts, self.output):
            _log.info("finished what an interrupted Prepare began in %s", self.output)
            return
        earlier = self._existing()
        trajectories = find_trajectories(self.source, self.frames.reader)
        learnt, skipped = self._fit(trajectories)
        parts, new = self._encode({n: path for n, path in trajectories.items() if n not in skipped}, skipped)
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

    def _fit(self, trajectories: dict[str, Path]) -> tuple[fitting.Spans, dict[str, str]]:
        """Fit every tokenizer; return the frames used, and the skipped trajectories with the reason for each."""
        skipped: dict[str, str] = {}
        skip = partial(self._skip, skipped=skipped)
        chosen = (self.fit_on, self.fit_fraction, self.group_by, self.split)
        spans = fitting.choose_spans(self.reader, trajectories, *chosen, skip)
        for tokenizer in self.tokenizers if spans else ():
            tokenizer.fit(fitting.read_spans(self.reader, trajectories, spans))
        return spans, skipped

    def _encode(self, trajectories: dict[str, Path], skipped: dict[str, str]) -> tuple[list[Part], list[Part]]:
        """The parts of all trajectories in the order of their names, and those that were made now."""
        make_directory(self._parts)
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
        if isinstance(error, ContractBroken):
            raise error
        if self.on_error == "refuse":
            raise EmprotError(f"{error}; Prepare.on_error = 'skip' leaves such trajectories out") from error
        skipped[name] = str(error)
        _log.warning("skipped %s: %s", name, error)

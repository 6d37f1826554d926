"""Trajectory stores from backbone coordinates."""

import fnmatch
import glob
import logging
import os
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

import numpy as np
from tqdm import tqdm

from emprot_core.contracts import Reader, Structure, Tokenizer, Vocabulary
from emprot_core.data.store import SAMPLE_PREFIX, SAMPLE_ROOT, StoreError, StoreWriter, TrajectoryStore
from emprot_core.jobs.context import RunContext
from emprot_core.registry import register

_log = logging.getLogger("emprot")


@register("job")
class Prepare:
    """Reads trajectories, turns them into cluster IDs, and writes one store a tokenizer: <output>/<its name>.

    A trajectory is named by its path below the folder that all have in common, without the suffix; where the reader
    knows no protein, that name is its group too. A store is seen only when it is complete, and is then read back and
    its hashes and IDs are checked.
    """

    def __init__(
        self,
        source: str | Sequence[str],
        reader: Reader,
        tokenizers: Sequence[Tokenizer],
        output: str,
        fit_on: Sequence[str] = (),
        fit_fraction: float = 0.7,
    ):
        """
        Args:
            source: files, patterns of files (`runs/**/*.xtc`), or sample:coordinates.
            reader: of those files.
            tokenizers: one store each.
            output: a directory for the stores; none of them may exist.
            fit_on: patterns of the names of the trajectories that tokenizers learn from; none by default, for the
                test trajectories must not be among them.
            fit_fraction: the first part of the frames of each of those, in (0, 1]: again, test frames come later.

        Raises:
            ValueError: fit_fraction is out of range, or tokenizers are missing or have the same name.
        """
        names = [tokenizer.name for tokenizer in tokenizers]
        if not names or len(set(names)) < len(names):
            raise ValueError(f"Prepare.tokenizers are {names}, expected one or more of different names")
        if not 0 < fit_fraction <= 1:
            raise ValueError(f"Prepare.fit_fraction is {fit_fraction}, expected a number in (0, 1]")
        self.source = [source] if isinstance(source, str) else list(source)
        self.reader, self.tokenizers, self.output = reader, tokenizers, Path(output)
        self.fit_on, self.fit_fraction = fit_on, fit_fraction

    def run(self, context: RunContext) -> None:
        """Write the stores and log a line on each.

        Raises:
            ValueError: there are no such files, one cannot be read or encoded, or a name of `fit_on` matches none.
            StoreError: a store exists.
        """
        trajectories = _name_files(_find_files(self.source))
        for tokenizer in self.tokenizers:
            if (self.output / tokenizer.name).exists():
                raise StoreError(f"{self.output / tokenizer.name} exists; remove it or bind another Prepare.output")
        self._fit(trajectories)
        self._encode(trajectories)
        for tokenizer in self.tokenizers:
            _log.info("%s", describe_store(TrajectoryStore(self.output / tokenizer.name, verify=True)))

    def _fit(self, trajectories: dict[str, Path]) -> None:
        if not self.fit_on:
            return
        chosen = [name for name in trajectories if any(fnmatch.fnmatchcase(name, p) for p in self.fit_on)]
        if not chosen:
            raise ValueError(f"Prepare.fit_on = {list(self.fit_on)} matches none of {', '.join(trajectories)}")
        structures = [self._read(trajectories[name]) for name in chosen]
        firsts = [s._replace(coordinates=s.coordinates[: self._num_fit_frames(s)]) for s in structures]
        for tokenizer in self.tokenizers:
            tokenizer.fit(firsts)

    def _num_fit_frames(self, structure: Structure) -> int:
        return max(1, round(len(structure.coordinates) * self.fit_fraction))

    def _encode(self, trajectories: dict[str, Path]) -> None:
        with ExitStack() as stack:
            writers = [stack.enter_context(self._writer(tokenizer)) for tokenizer in self.tokenizers]
            for tokenizer, writer in zip(self.tokenizers, writers, strict=True):
                for array_name, array in tokenizer.arrays().items():
                    writer.add_array(array_name, array)
            for name, path in tqdm(trajectories.items(), unit="trajectory", disable=None):
                structure = self._read(path)
                for tokenizer, writer in zip(self.tokenizers, writers, strict=True):
                    writer.add(
                        name, structure.group or name, _encode(tokenizer, structure, path), structure.time_step_ns
                    )
                    if structure.source:
                        writer.add_source(structure.source)

    def _writer(self, tokenizer: Tokenizer) -> StoreWriter:
        vocabulary = Vocabulary(tokenizer.name, tokenizer.num_clusters, tokenizer.description())
        return StoreWriter(self.output / tokenizer.name, vocabulary)

    def _read(self, path: Path) -> Structure:
        structure = self.reader.read(path)
        shape = structure.coordinates.shape
        if len(shape) != 4 or shape[2:] != (4, 3) or 0 in shape or structure.segments.shape != shape[1:2]:
            raise ValueError(
                f"{path}: the reader gave coordinates of shape {shape} and segments of shape "
                f"{structure.segments.shape}, expected (frames, residues, 4, 3) and (residues,); correct the reader"
            )
        return structure


def describe_store(store: TrajectoryStore) -> str:
    """A line: sizes, classes used, unigram entropy in bits, and how often an ID is the same a frame later."""
    counts = np.zeros(store.vocabulary.num_clusters, dtype=np.int64)
    same = pairs = 0
    for trajectory in range(len(store)):
        ids = store.ids(trajectory)
        counts += np.bincount(ids[ids >= 0], minlength=len(counts))
        known = (ids[1:] >= 0) & (ids[:-1] >= 0)
        pairs += int(known.sum())
        same += int(((ids[1:] == ids[:-1]) & known).sum())
    shares = counts[counts > 0] / max(1, counts.sum())
    residues = store.index["num_residues"]
    return (
        f"{store.directory}: trajectories {len(store)}, frames {store.index['num_frames'].sum()}, "
        f"residues {residues.min()}-{residues.max()}, IDs used {len(shares)} of {len(counts)}, "
        f"unigram entropy {-(shares * np.log2(shares)).sum():.2f} bits, "
        f"persistence accuracy {same / pairs if pairs else float('nan'):.3f}"
    )


def _find_files(sources: Sequence[str]) -> list[Path]:
    found: set[Path] = set()
    for source in sources:
        pattern = source
        if source.startswith(SAMPLE_PREFIX):
            pattern = str(SAMPLE_ROOT / source.removeprefix(SAMPLE_PREFIX) / "*.npz")
        matches = [Path(match) for match in glob.glob(pattern, recursive=True) if os.path.isfile(match)]
        if not matches:
            raise ValueError(
                f"Prepare.source = {source!r} matches no file; give a file, a pattern such as 'runs/**/*.xtc', "
                f"or {SAMPLE_PREFIX}coordinates"
            )
        found.update(matches)
    return sorted(found)


def _name_files(paths: list[Path]) -> dict[str, Path]:
    """The files by name: the path below the folder that all have in common, without the suffix."""
    common = os.path.commonpath([path.absolute().parent for path in paths])
    names: dict[str, Path] = {}
    for path in paths:
        name = path.absolute().relative_to(common).with_suffix("").as_posix()
        if name in names:
            raise ValueError(
                f"{names[name]} and {path} differ in their suffix alone, expected one file for a trajectory; "
                "narrow Prepare.source"
            )
        names[name] = path
    return names


def _encode(tokenizer: Tokenizer, structure: Structure, path: Path) -> np.ndarray:
    try:
        return tokenizer.encode(structure)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error

"""What a run has left on the disk, as a report shows it."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from emprot_core.errors import EmprotError
from emprot_core.files import Damaged, fault_of, read_hashed_json
from emprot_core.jobs.load import StoredRun
from emprot_core.jobs.settings import TOKEN_SCORES
from emprot_core.jobs.steps_log import read_steps


class Drawn(NamedTuple):
    """A forecast inside the run directory: rollouts, or what was written about them."""

    folder: Path
    kinetics: dict[str, Any]  # by trajectory; {} if there is no kinetics.json


class RunFacts(NamedTuple):
    """One run: what its files say. Nothing here needs its data."""

    name: str
    directory: str
    result: dict[str, Any]  # {} while the run has not ended
    settings: dict[str, dict[str, str]]
    config: str
    validations: list[dict[str, Any]]  # the lines of metrics.jsonl
    steps: np.ndarray  # of jobs.steps_log.STEP_DTYPE
    drawn: list[Drawn]

    @property
    def test(self) -> dict[str, Any] | None:
        return self.result.get("test")


def names_of(directories: Sequence[str]) -> list[str]:
    """What runs are called: the last parts of their paths, as many as are needed to tell them apart."""
    parts = [Path(directory).absolute().parts for directory in directories]
    longest = max(map(len, parts))
    names = [["/".join(each[-depth:]) for each in parts] for depth in range(1, longest + 1)]
    return next((found for found in names if len(set(found)) == len(found)), list(directories))


def read_facts(run: StoredRun, name: str) -> RunFacts:
    """
    Raises:
        EmprotError: a file no longer holds what was written.
    """
    folder = run.directory
    return RunFacts(
        name=name,
        directory=str(folder),
        result=_record(folder / "result.json"),
        settings=_record(folder / "settings.json").get("settings", {}),
        config=(folder / "config.gin").read_text(),
        validations=_lines(folder / "metrics.jsonl"),
        steps=read_steps(folder),
        drawn=[Drawn(each, _kinetics(each)) for each in sorted({folder, *_folders(folder)}) if _is_drawn(each)],
    )


def nll_by_residue(run: RunFacts, trajectory: str) -> dict[str, np.ndarray]:
    """By forecaster the NLL in bits (N, F) of a trajectory, NaN where nothing was scored; {} if it was not kept.

    With more than 50 million numbers it is that of all trajectories of the protein.

    Raises:
        EmprotError: the scores no longer are those that result.json speaks of.
    """
    path = Path(run.directory) / TOKEN_SCORES
    if (digest := run.result.get("files", {}).get(TOKEN_SCORES)) is None:
        return {}
    if fault := fault_of(path, digest):
        raise EmprotError(f"{path} {fault}; see emprot-run --verify {run.directory}")
    with np.load(path, allow_pickle=False) as file:
        place = file["trajectories"].tolist().index(trajectory)
        group = list(dict.fromkeys(file["groups"].tolist())).index(file["groups"][place])
        if f"nll_bits_{place}" in file:
            known = ~np.isnan(tokens := file[f"nll_bits_{place}"])
            sums, counts = np.where(known, tokens, 0).sum(axis=1, dtype=float), known.sum(axis=1)
        elif f"residue_sums_{group}" in file:
            sums, counts = file[f"residue_sums_{group}"], file[f"residue_counts_{group}"]
        else:
            return {}
        return dict(zip(file["forecasters"].tolist(), sums / np.where(counts > 0, counts, np.nan), strict=True))


def _record(path: Path) -> dict[str, Any]:
    try:
        return read_hashed_json(path) if path.is_file() else {}
    except Damaged as damage:
        raise EmprotError(f"{damage}; see emprot-run --verify {path.parent}") from damage


def _lines(path: Path) -> list[dict[str, Any]]:
    """The records of a file of JSON lines; one that is being written is left out."""
    found = []
    for line in path.read_text().splitlines() if path.is_file() else ():
        try:
            found.append(json.loads(line))
        except ValueError:
            continue
    return found


def _folders(folder: Path) -> list[Path]:
    return [path for path in folder.iterdir() if path.is_dir()]


def _is_drawn(folder: Path) -> bool:
    return (folder / "rollouts" / "store.json").is_file() or (folder / "kinetics.json").is_file()


def _kinetics(folder: Path) -> dict[str, Any]:
    path = folder / "kinetics.json"
    try:
        return json.loads(path.read_text()) if path.is_file() else {}
    except ValueError as error:
        raise EmprotError(f"{path} is damaged: it is no JSON ({error}); forecast again") from error

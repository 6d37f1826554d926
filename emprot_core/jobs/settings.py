"""What a run directory says about its run, read without torch: its settings, its result, its groups of seeds."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from emprot_core.errors import EmprotError
from emprot_core.files import Damaged, read_hashed_json
from emprot_core.words import DEFAULT

SEED = "run.seed"
TOKEN_SCORES = "scores-test.npz"
"""The NLL of every forecaster, token by token (evaluation.token_scores)."""
SWEEP_FILE = "sweep.json"
"""What makes a directory that of a sweep, whose runs are in trial-0, trial-1 and so on."""
Settings = dict[str, dict[str, str]]


class ComparisonRefused(EmprotError):
    """The runs cannot be compared. The message says why. Exit status 2."""

    page = "faults#comparison-refused"


class KnownRun(NamedTuple):
    """A run that can be compared."""

    directory: str
    settings: Settings
    result: dict[str, Any]

    @property
    def seed(self) -> str:
        return self.settings.get(SEED, {}).get("value", DEFAULT)

    @property
    def recipe(self) -> str:
        """The values of all settings but the seed, as one text."""
        return json.dumps({key: setting["value"] for key, setting in sorted(self.settings.items()) if key != SEED})


def runs_of(directories: Sequence[str]) -> list[str]:
    """The same directories, with the finished trials of a sweep in the place of its directory."""
    found: list[str] = []
    for directory in directories:
        trials = sorted(Path(directory).glob("trial-*"), key=lambda path: int(path.name.partition("-")[2]))
        is_sweep = (Path(directory) / SWEEP_FILE).is_file()
        found += map(str, filter(_is_finished, trials)) if is_sweep else [directory]
    return found


def _is_finished(directory: Path) -> bool:
    path = directory / "result.json"
    try:
        return path.is_file() and read_hashed_json(path)["status"] == "finished"
    except Damaged:
        return True  # whoever reads the run names the damage


def read_run(directory: str) -> KnownRun:
    """
    Raises:
        ComparisonRefused: there is no run, it has no test scores, or a file is damaged.
    """
    path = Path(directory)
    if not (path / "config.gin").is_file():
        what = "holds no run: it has no config.gin" if path.is_dir() else "does not exist"
        raise ComparisonRefused(f"{directory} {what}; give the directories of runs")
    try:
        result = read_hashed_json(path / "result.json")
        settings = read_hashed_json(path / "settings.json")["settings"]
    except FileNotFoundError as error:
        missing = Path(error.filename).name
        why = "it is not finished" if missing == "result.json" else "an older version made it"
        raise ComparisonRefused(f"{directory} has no {missing}: {why}; give runs that are finished") from error
    except (Damaged, KeyError) as error:
        raise ComparisonRefused(f"{error}; see emprot-run --verify {directory}") from error
    if result["status"] != "finished" or result.get("test") is None:
        state = result["status"] if result["status"] != "finished" else "finished without test windows"
        raise ComparisonRefused(f"{directory} has no test scores: it is {state}; give runs with test scores")
    return KnownRun(directory, settings, result)


def differences(sides: list[Settings]) -> list[dict[str, Any]]:
    """The settings that differ: {"name", "values", "origins"}, None on a side that does not have the setting.

    Left out are what only follows from a macro that differs, and the defaults of a component that only some have.
    """
    names = list(dict.fromkeys(name for side in sides for name in side))
    found = []
    for name in names:
        each = [side.get(name) for side in sides]
        values = [None if setting is None else setting["value"] for setting in each]
        known = [setting for setting in each if setting is not None]
        follows = len(known) == len(each) and len({setting["given"] for setting in known}) == 1
        is_default = len(known) < len(each) and all(setting["origin"] == DEFAULT for setting in known)
        if len(set(values)) > 1 and not follows and not is_default:
            origins = [None if setting is None else setting["origin"] for setting in each]
            found.append({"name": name, "values": values, "origins": origins})
    return found

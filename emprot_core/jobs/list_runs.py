"""emprot-run --runs: every run below a folder, with its state and its figures. It needs neither torch nor gin."""

import json
import os
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from emprot_core.errors import EmprotError
from emprot_core.files import Damaged, read_hashed_json

_UNITS = {"d": 86_400, "h": 3_600, "min": 60, "s": 1}


def list_runs(folder: str) -> list[dict[str, Any]]:
    """A record for each run below a folder, or for the folder itself: run, status, verdict, validation, data_digest,
    nll_bits and gain_bits (the first and the last horizon), best_baseline, age_s, fault.

    Runs on the same data stand together, the lowest test NLL first, and those without test scores last.

    Raises:
        EmprotError: the folder does not exist.
    """
    if not Path(folder).is_dir():
        raise EmprotError(f"{folder} is no folder; give one that holds run directories")
    locked = _locked_files()
    records = [_record(path, locked) for path in _runs_below(Path(folder))]
    missing = float("inf")

    def order(record: dict[str, Any]) -> tuple[Any, ...]:
        nll = record["nll_bits"]
        mean = missing if nll is None else sum(nll) / len(nll)
        validation = missing if record["validation"] is None else record["validation"]
        return nll is None, record["data_digest"] or "", mean, validation, record["run"]

    return sorted(records, key=order)


def format_runs(records: Sequence[dict[str, Any]]) -> str:
    """The records as a table."""
    if not records:
        return "there is no run"
    heads = ["run", "status", "verdict", "val loss", "test h1", "hF", "gain h1", "hF", "over", "age"]
    rows = [heads, *(_cells(record) for record in records)]
    widths = [max(len(row[i]) for row in rows) for i in range(len(heads))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    faults = [f"{record['run']}: {record['fault']}" for record in records if record["fault"]]
    return "\n".join([*lines, *faults])


def _runs_below(folder: Path) -> Iterator[Path]:
    for path, folders, names in os.walk(folder):
        if "config.gin" in names:
            folders.clear()
            yield Path(path)
        folders.sort()


def _record(path: Path, locked: set[tuple[int, int]]) -> dict[str, Any]:
    record: dict[str, Any] = dict.fromkeys(
        ("verdict", "validation", "data_digest", "nll_bits", "gain_bits", "best_baseline", "fault")
    )
    try:
        result = read_hashed_json(path / "result.json")
    except FileNotFoundError:
        result = {"status": "unfinished"}
    except Damaged as damage:
        result, record["fault"] = {"status": "damaged"}, str(damage)
    newest = max((file.stat().st_mtime for file in path.iterdir() if file.is_file()), default=path.stat().st_mtime)
    status = "running" if _file_key(path / "run.lock") in locked else result["status"]
    best = result.get("best") or {}
    record |= {"run": str(path), "status": status, "age_s": max(0.0, time.time() - newest)}
    record["validation"] = best.get("val/total_loss", _best_validation(path / "metrics.jsonl"))
    record["data_digest"] = result.get("data_digest")
    if test := result.get("test"):
        record |= {"verdict": test["verdict"], "best_baseline": test["best_baseline"]}
        record["nll_bits"] = _ends(test["model"]["nll_bits"])
        record["gain_bits"] = _ends(test["gains"].get(test["best_baseline"], {}).get("bits"))
    return record


def _ends(values: Sequence[float | None] | None) -> list[float] | None:
    """The first and the last value, if both are known."""
    if not values or values[0] is None or values[-1] is None:
        return None
    return [values[0], values[-1]]


def _best_validation(path: Path) -> float | None:
    """The lowest validation loss of a run that is not finished; a line that is being written is left out."""
    losses = []
    for line in path.read_text().splitlines() if path.is_file() else ():
        try:
            losses.append(float(json.loads(line)["val/total_loss"]))
        except (ValueError, KeyError, TypeError):
            continue
    return min(losses, default=None)


def _locked_files() -> set[tuple[int, int]]:
    """The (device, inode) of every file that a process on this machine holds locked; nothing where Linux does not tell.

    Taking a lock to find out would refuse a run that starts in that moment.
    """
    found = set()
    path = Path("/proc/locks")
    for line in path.read_text().splitlines() if path.is_file() else ():
        place = next((word for word in line.split() if word.count(":") == 2), None)
        if place is not None:
            major, minor, inode = place.split(":")
            found.add((os.makedev(int(major, 16), int(minor, 16)), int(inode)))
    return found


def _file_key(path: Path) -> tuple[int, int] | None:
    return (path.stat().st_dev, path.stat().st_ino) if path.is_file() else None


def _cells(record: dict[str, Any]) -> list[str]:
    nll, gain = record["nll_bits"] or [None, None], record["gain_bits"] or [None, None]
    numbers = [*(_number(value, ".3f") for value in nll), *(_number(value, "+.3f") for value in gain)]
    words = [record["run"], record["status"], record["verdict"] or "-", _number(record["validation"], ".4f")]
    return [*words, *numbers, record["best_baseline"] or "-", _age(record["age_s"])]


def _number(value: float | None, form: str) -> str:
    return "-" if value is None else f"{value:{form}}"


def _age(seconds: float) -> str:
    unit, size = next((unit, size) for unit, size in _UNITS.items() if seconds >= size or size == 1)
    return f"{seconds / size:.0f} {unit}"

"""A table that says which topology, protein and time step belong to which trajectory files."""

import csv
import glob
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

from emprot_core.errors import EmprotError

COLUMNS = ("files", "topology", "group", "time_step_ns")


class FileEntry(NamedTuple):
    """What a row of the table says about a file."""

    topology: str
    group: str
    time_step_ns: float  # NaN where the table has none


def entry_of(table: str, path: Path) -> FileEntry:
    """The row of a trajectory file.

    Raises:
        EmprotError: the table cannot be read, or no row or two rows are about the file.
    """
    found = _read(table, Path(table).stat().st_mtime_ns if Path(table).is_file() else 0).get(str(path.resolve()))
    if found is None:
        raise EmprotError(f"{path} is in no row of {table}; add it under files, or narrow Prepare.source")
    return found


@lru_cache(maxsize=4)
def _read(table: str, _: int) -> dict[str, FileEntry]:
    """The rows by the absolute path of each file. The second argument is the date of the table."""
    folder = Path(table).parent
    try:
        with Path(table).open(newline="") as file:
            rows = list(csv.DictReader(file))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise EmprotError(f"{table} cannot be read as a table of files: {error}") from error
    entries: dict[str, FileEntry] = {}
    for number, row in enumerate(rows, start=2):
        where = f"{table}, line {number}"
        if missing := [column for column in COLUMNS[:2] if not row.get(column)]:
            raise EmprotError(f"{where} has no {missing[0]}; a table has the columns {', '.join(COLUMNS)}")
        entry = FileEntry(str(folder / row["topology"]), row.get("group") or "", _time_step(row, where))
        matches = glob.glob(str(folder / row["files"]), recursive=True)
        if not matches:
            raise EmprotError(f"{where}: {row['files']!r} matches no file in {folder}")
        for match in matches:
            if entries.setdefault(str(Path(match).resolve()), entry) != entry:
                raise EmprotError(f"{where}: {match} is in another row already; give each file once")
    return entries


def _time_step(row: dict[str, str], where: str) -> float:
    text = row.get("time_step_ns") or "nan"
    try:
        return float(text)
    except ValueError:
        raise EmprotError(f"{where}: time_step_ns is {text!r}, expected a number of ns, or nothing") from None

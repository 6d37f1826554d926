"""Folder layouts, which tell topology and protein from the path of a trajectory, and tables of proteins."""

import csv
import re
from pathlib import Path

from emprot_core.errors import EmprotError

_FIELD = re.compile(r"\{(\w+)\}")


def match_layout(layout: str, path: Path) -> dict[str, str]:
    """The values of the fields of a layout such as `{chain}_R{replica}.xtc` in the last parts of the path.

    A field stands for one or more characters except "/"; `*` stands for any number of them.

    Raises:
        EmprotError: the path does not match the layout.
    """
    if not layout:
        return {}
    pattern, used = "", set()
    for number, piece in enumerate(_FIELD.split(layout)):
        if number % 2 == 0:
            pattern += re.escape(piece).replace(r"\*", "[^/]*")
        else:
            pattern += f"(?P={piece})" if piece in used else f"(?P<{piece}>[^/]+)"
            used.add(piece)
    matched = re.search(f"(?:^|/){pattern}$", path.as_posix())
    if matched is None:
        raise EmprotError(f"{path} does not end like the layout {layout!r}; correct the layout, or narrow the source")
    return matched.groupdict()


def fill_in(template: str, fields: dict[str, str], what: str) -> str:
    """The template with its {fields} replaced.

    Raises:
        EmprotError: the layout has no such field.
    """
    try:
        return _FIELD.sub(lambda found: fields[found[1]], template)
    except KeyError as error:
        raise EmprotError(
            f"{what} = {template!r} has the field {error}, but the layout has {sorted(fields)}"
        ) from error


def read_groups(table: str, key_column: str, group_column: str) -> dict[str, str]:
    """The group of each key in a CSV file with a header.

    Raises:
        EmprotError: the file or a column is missing, or a key has two groups.
    """
    try:
        with Path(table).open(newline="", encoding="utf-8-sig") as file:
            rows = [{str(k).strip(): (v or "").strip() for k, v in row.items()} for row in csv.DictReader(file)]
    except OSError as error:
        raise EmprotError(f"the table of groups {table} cannot be read ({error}); give its path") from error
    groups: dict[str, str] = {}
    for row in rows:
        if key_column not in row or group_column not in row:
            raise EmprotError(f"{table} has the columns {sorted(row)}, expected {key_column!r} and {group_column!r}")
        group = groups.setdefault(row[key_column], row[group_column])
        if group != row[group_column]:
            raise EmprotError(f"{table} gives {row[key_column]} the groups {group} and {row[group_column]}; keep one")
    return groups


def group_of(groups: dict[str, str], key: str, table: str) -> str:
    """The group of a key; ValueError if the table has none."""
    if not groups.get(key):
        raise EmprotError(f"{table} has no group for {key!r}; add the row, or leave the trajectory out")
    return groups[key]

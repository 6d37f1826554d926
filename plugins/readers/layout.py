"""Folder layouts: what the path of a trajectory says of its topology and its protein, and tables of proteins."""

import csv
import re
from pathlib import Path

_FIELD = re.compile(r"\{(\w+)\}")


def match_layout(layout: str, path: Path) -> dict[str, str]:
    """The fields of a layout such as `{chain}_R{replica}.xtc`, as the last parts of the path have them.

    A field stands for letters, digits and anything else but "/", and `*` for any such text.

    Raises:
        ValueError: the path is not laid out like this.
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
        raise ValueError(f"{path} does not end like the layout {layout!r}; correct the layout, or narrow the source")
    return matched.groupdict()


def fill_in(template: str, fields: dict[str, str], what: str) -> str:
    """The template with its {fields} replaced.

    Raises:
        ValueError: the layout has no such field.
    """
    try:
        return _FIELD.sub(lambda found: fields[found[1]], template)
    except KeyError as error:
        raise ValueError(f"{what} = {template!r} has the field {error}, but the layout has {sorted(fields)}") from error


def read_groups(table: str, key_column: str, group_column: str) -> dict[str, str]:
    """The group of each key of a CSV file with a header.

    Raises:
        ValueError: the file or a column is missing, or a key has two groups.
    """
    try:
        with Path(table).open(newline="", encoding="utf-8-sig") as file:
            rows = [{str(k).strip(): (v or "").strip() for k, v in row.items()} for row in csv.DictReader(file)]
    except OSError as error:
        raise ValueError(f"the table of groups {table} cannot be read ({error}); give its path") from error
    groups: dict[str, str] = {}
    for row in rows:
        if key_column not in row or group_column not in row:
            raise ValueError(f"{table} has the columns {sorted(row)}, expected {key_column!r} and {group_column!r}")
        group = groups.setdefault(row[key_column], row[group_column])
        if group != row[group_column]:
            raise ValueError(f"{table} gives {row[key_column]} the groups {group} and {row[group_column]}; keep one")
    return groups


def group_of(groups: dict[str, str], key: str, table: str) -> str:
    """The group of a key; ValueError if the table has none."""
    if not groups.get(key):
        raise ValueError(f"{table} has no group for {key!r}; add the row, or leave the trajectory out")
    return groups[key]

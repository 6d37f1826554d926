"""Words that several messages share."""

from collections.abc import Sequence

DEFAULT = "default"
"""The origin of a setting that no statement of a config binds."""
_SHOWN = 8


def first_of(names: Sequence[object]) -> str:
    """The first names of a list, and how many more there are: "a, b and 3 more"."""
    shown = ", ".join(map(str, names[:_SHOWN]))
    return f"{shown} and {len(names) - _SHOWN} more" if len(names) > _SHOWN else shown

"""How messages put lists into words."""

from collections.abc import Sequence

_SHOWN = 8


def first_of(names: Sequence[object]) -> str:
    """The first names of a list, and how many more there are: "a, b and 3 more"."""
    shown = ", ".join(map(str, names[:_SHOWN]))
    return f"{shown} and {len(names) - _SHOWN} more" if len(names) > _SHOWN else shown

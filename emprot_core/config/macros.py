"""How large the values of macros are once other macros are replaced in them, so that the work on them is bounded."""

from collections.abc import Mapping
from typing import Any, NamedTuple

from emprot_core.config.values import Macro, leaves

MAX_LEAVES, MAX_DEPTH = 10_000, 50


class Size(NamedTuple):
    """Of a macro's value: how many literals and references it holds, and through how many macros it leads.

    Both are 0 for a macro that is defined by itself.
    """

    leaves: int
    depth: int


def measure(macros: Mapping[str, Any]) -> dict[str, Size]:
    """The size of each macro, from the values by name. No value is written out, so a macro bomb costs nothing."""
    inner = {name: [n for n in _macros_in(value) if n in macros] for name, value in macros.items()}
    sizes: dict[str, Size] = {}
    for start in macros:
        path = [start]
        while path:
            name = path[-1]
            unknown = next((each for each in inner[name] if each not in sizes), None)
            if unknown is None:
                path.pop()
                sizes.setdefault(name, _sum(macros[name], [sizes[each] for each in inner[name]]))
            elif unknown in path:  # the way leads back to a macro on it
                sizes |= dict.fromkeys(path[path.index(unknown) :], Size(0, 0))
            else:
                path.append(unknown)
    return sizes


def _macros_in(value: Any) -> list[str]:
    return [leaf.name for leaf in leaves(value) if isinstance(leaf, Macro)]


def _sum(value: Any, held: list[Size]) -> Size:
    own = sum(1 for _ in leaves(value)) - len(held)
    return Size(max(1, own + sum(size.leaves for size in held)), 1 + max((size.depth for size in held), default=0))

"""Values as gin files write them: Python literals that may hold references (@x, @x()) and macros (%x)."""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from emprot_core.config.faults import Fault, Location

REQUIRED = "gin.REQUIRED"
"""The macro that stands for a value somebody else must bind."""


@dataclass(frozen=True)
class Reference:
    """@scopes/name or @scopes/name(). Once resolved, `name` is a full selector."""

    scopes: tuple[str, ...]
    name: str
    call: bool
    location: Location = field(compare=False)

    def __str__(self) -> str:
        return "@" + "/".join((*self.scopes, self.name.removeprefix("emprot."))) + ("()" if self.call else "")

    __repr__ = __str__


@dataclass(frozen=True)
class Macro:
    """%name. Its value is built in the scope `name`, as gin does."""

    name: str
    location: Location = field(compare=False)

    @property
    def scope(self) -> tuple[str, ...]:
        return tuple(self.name.split("/"))

    def __str__(self) -> str:
        return f"%{self.name}"

    __repr__ = __str__


@dataclass(frozen=True)
class Constant:
    """%name of a value that a module named by gin.constant or gin.constants_from_enum."""

    name: str
    value: Any = field(compare=False)

    def __repr__(self) -> str:
        return f"%{self.name}"


@dataclass(frozen=True)
class Unreadable:
    """Stands for a value that is no gin value: the binding is there, nothing more is known of it.

    Attributes:
        word: its text, if quotes alone would make it a string.
        fault: what is wrong with it, if that was not reported yet.
    """

    word: str = ""
    fault: Fault | None = None

    def __repr__(self) -> str:
        return "<not a gin value>"


UNREADABLE = Unreadable()


def leaves(value: Any) -> Iterator[Any]:
    """What a value holds, however deep: literals, references and macros."""
    if isinstance(value, dict):
        value = [*value.keys(), *value.values()]
    if isinstance(value, list | tuple):
        for item in value:
            yield from leaves(item)
    else:
        yield value


def replace(value: Any, leaf: Callable[[Any], Any]) -> Any:
    """A copy of the value with every leaf replaced by `leaf(it)`."""
    if isinstance(value, dict):
        return {replace(key, leaf): replace(item, leaf) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(replace(item, leaf) for item in value)
    return leaf(value)


def as_text(value: Any, selector: Callable[[str], str] = lambda name: name.removeprefix("emprot.")) -> str:
    """The value as a gin file would write it; `selector` says how the names of references are written."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{as_text(k, selector)}: {as_text(v, selector)}" for k, v in value.items()) + "}"
    if isinstance(value, list | tuple):
        items = ", ".join(as_text(item, selector) for item in value)
        return f"[{items}]" if isinstance(value, list) else f"({items}{',' * (len(value) == 1)})"
    if isinstance(value, Reference):
        return "@" + "/".join((*value.scopes, selector(value.name))) + ("()" if value.call else "")
    if isinstance(value, float) and math.isinf(value):
        return "1e999" if value > 0 else "-1e999"  # repr gives inf, which gin cannot read
    return repr(value)

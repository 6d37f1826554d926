"""Values of gin files: Python literals that may hold references (@x, @x()) and macros (%x), and their text."""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from emprot_core.config.faults import Fault, Location
from emprot_core.kinds import KINDS
from emprot_core.registry import Entry

REQUIRED = "gin.REQUIRED"
"""The macro that stands for a value which somebody else must bind."""

MAX_LINE = 100

Scope = tuple[str, ...]


@dataclass(frozen=True)
class Reference:
    """@scopes/name or @scopes/name(), as the parser reads it."""

    scopes: Scope
    name: str
    call: bool
    location: Location = field(compare=False)

    def __repr__(self) -> str:
        return as_text(self)


@dataclass(frozen=True, repr=False)
class Use(Reference):
    """A reference whose name is resolved: `name` is the full selector of `entry`.

    Attributes:
        macro_scope: the scope of the macro whose value holds the reference; empty if no macro does.
    """

    entry: Entry = field(compare=False)
    macro_scope: Scope = field(default=(), compare=False)


@dataclass(frozen=True)
class Macro:
    """%name. As in gin, its value is built in the scope `name`."""

    name: str
    location: Location = field(compare=False)

    @property
    def scope(self) -> Scope:
        return tuple(self.name.split("/"))

    def __repr__(self) -> str:
        return f"%{self.name}"


@dataclass(frozen=True)
class Constant:
    """%name, where a module named the value by gin.constant or gin.constants_from_enum."""

    name: str
    value: Any = field(compare=False)

    def __repr__(self) -> str:
        return f"%{self.name}"


@dataclass(frozen=True)
class Unreadable:
    """Stands for a value that is not known. Its binding is kept, so that the parameter is not called missing as well.

    Attributes:
        word: the text of the value, if it only lacks quotes to be a string.
        fault: what is wrong with the value, if that was not noted yet.
    """

    word: str = ""
    fault: Fault | None = None

    def __repr__(self) -> str:
        return "<not a gin value>"


UNREADABLE = Unreadable()


def use_of(entry: Entry) -> Use:
    """A reference to the component, called unless the framework is to call it."""
    return Use((), entry.selector, not KINDS[entry.kind].late, Location(""), entry)


def leaves(value: Any) -> Iterator[Any]:
    """The literals, references and macros in a value, at any depth."""
    if isinstance(value, dict):
        value = [*value.keys(), *value.values()]
    if isinstance(value, list | tuple):
        for item in value:
            yield from leaves(item)
    else:
        yield value


def replace(value: Any, leaf: Callable[[Any], Any]) -> Any:
    """A copy of the value in which `leaf` has replaced every literal, reference and macro."""
    if isinstance(value, dict):
        return {replace(key, leaf): replace(item, leaf) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(replace(item, leaf) for item in value)
    return leaf(value)


def as_text(value: Any, full: bool = False) -> str:
    """The value as a gin file would write it. With `full`, references have full selectors."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{as_text(key, full)}: {as_text(item, full)}" for key, item in value.items()) + "}"
    if isinstance(value, list | tuple):
        items = ", ".join(as_text(item, full) for item in value)
        return f"[{items}]" if isinstance(value, list) else f"({items}{',' * (len(value) == 1)})"
    if isinstance(value, Reference):
        name = value.name if full else value.name.removeprefix("emprot.")
        return "@" + "/".join((*value.scopes, name)) + ("()" if value.call else "")
    if isinstance(value, float) and math.isinf(value):
        return "1e999" if value > 0 else "-1e999"  # repr gives inf, which gin cannot read
    return repr(value)


def assignment(name: str, value: Any, full: bool = False) -> str:
    """`name = value` as gin text. A long list has one item a line. With `full`, references have full selectors."""
    line = f"{name} = {as_text(value, full)}"
    if len(line) <= MAX_LINE or not isinstance(value, list | tuple):
        return line
    opening, closing = "[]" if isinstance(value, list) else "()"
    items = "".join(f"    {as_text(item, full)},\n" for item in value)
    return f"{name} = {opening}\n{items}{closing}"


def is_literal(value: Any) -> bool:
    """Whether gin can read the value back from text. It cannot read nan."""
    return all(leaf is None or (type(leaf) in (bool, int, float, str) and leaf == leaf) for leaf in leaves(value))

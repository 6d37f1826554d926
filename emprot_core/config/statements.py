"""Gin text -> statements, by gin's own parser and without side effects. Every fault is kept."""

import re
import tokenize
from dataclasses import dataclass, field
from typing import Any

from gin import config_parser

from emprot_core.config.faults import COMMAND_LINE, Fault, Location
from emprot_core.config.signature import Parameter
from emprot_core.config.syntax import SELECTOR, WORD, WORDS, Piece, cut, early_fault, explain
from emprot_core.config.values import REQUIRED, Macro, Reference, Scope, Unreadable

_KEY = re.compile(rf"\s*({SELECTOR})\s*=")


@dataclass(frozen=True)
class Binding:
    """scope/selector.parameter = value. A macro has no selector; its whole name is `parameter`.

    Attributes:
        value: the value as it is written.
        included: the include statements that lead to its file, outermost first.

    In a tree the selector is the full one, references in the value know their component, and there are also:

        taker: the parameter that is bound; None for a macro, and for a parameter that cannot be bound.
        meaning: the value with its macros replaced.
        macros: names of the macros that were replaced.
    """

    scope: str
    selector: str
    parameter: str
    value: Any
    location: Location
    included: tuple[Location, ...] = ()
    taker: Parameter | None = None
    meaning: Any = None
    macros: frozenset[str] = frozenset()

    @property
    def is_macro(self) -> bool:
        return not self.selector

    @property
    def key(self) -> tuple[str, str, str]:
        return self.scope, self.selector, self.parameter

    @property
    def holder(self) -> tuple[str, str]:
        """What the value is given to: a component in a scope, or a macro."""
        return self.scope, self.selector or f"%{self.parameter}"

    @property
    def scopes(self) -> Scope:
        return tuple(filter(None, self.scope.split("/")))

    def __str__(self) -> str:
        name = ".".join(filter(None, (self.selector.removeprefix("emprot."), self.parameter)))
        return f"{self.scope}/{name}" if self.scope else name


@dataclass(frozen=True)
class Include:
    """include 'filename'."""

    filename: str
    location: Location


@dataclass(frozen=True)
class Import:
    """import module, in any of its forms."""

    module: str
    location: Location


Statement = Binding | Include | Import


@dataclass
class Parsed:
    """What a text holds. The fault of a value that cannot be read is kept with the value, the others in `faults`."""

    statements: list[Statement] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)


def parse(text: str, file: str) -> Parsed:
    """The statements of a gin text. `file` is how locations name it."""
    parsed = Parsed()
    for piece in cut(text, file):
        read: list[Statement] = []
        fault = early_fault(piece) or _read(piece, read)
        unreadable = _unreadable(piece, fault) if fault and not read else None
        if unreadable:
            read.append(unreadable)
        elif fault:
            parsed.faults.append(fault)
        parsed.statements += read
    return parsed


def _read(piece: Piece, read: list[Statement]) -> Fault | None:
    """Read a piece with gin's parser, and add its statements to `read`. Gives the fault that stopped it, if any."""
    delegate = _Delegate(piece)
    try:
        delegate.parser = config_parser.ConfigParser(piece.text, delegate)
        for statement in delegate.parser:
            location = piece.locate(statement.location.line_num)
            if isinstance(statement, config_parser.IncludeStatement):
                read.append(Include(statement.filename, location))
            elif isinstance(statement, config_parser.ImportStatement):
                read.append(Import(statement.module, location))
            else:
                key = statement.scope, statement.selector, statement.arg_name
                read.append(_binding(*key, statement.value, location))
    except SyntaxError as error:
        return explain(str(error.msg), piece.locate(error.lineno or 1))
    except (tokenize.TokenError, ValueError) as error:
        return explain(str(error.args[0]), piece.locate(1))
    return None


def _unreadable(piece: Piece, fault: Fault) -> Binding | None:
    """The binding that a piece with a fault was to be, so that its parameter is not called missing as well."""
    key = _KEY.match(piece.text)
    if not key:
        return None
    words = WORDS if piece.file == COMMAND_LINE else WORD
    value = piece.text[key.end() :].split("#")[0].strip()
    unreadable = Unreadable(value if words.fullmatch(value) else "", fault)
    scope, selector, parameter = config_parser.parse_binding_key(key[1])
    return _binding(scope, selector, parameter, unreadable, piece.locate(1))


def _binding(scope: str, selector: str, parameter: str, value: Any, location: Location) -> Binding:
    if parameter:
        return Binding(scope, selector, parameter, value, location)
    return Binding("", "", f"{scope}/{selector}" if scope else selector, value, location)


class _Delegate(config_parser.ParserDelegate):  # type: ignore[misc]  # gin has no types
    """What gin's parser calls to make references and macros. Each gets the location of its own line."""

    parser: config_parser.ConfigParser

    def __init__(self, piece: Piece):
        self._piece = piece

    def configurable_reference(self, scoped_configurable_name: str, evaluate: bool) -> Reference:
        *scopes, name = scoped_configurable_name.split("/")
        return Reference(tuple(scopes), name, evaluate, self._place(scoped_configurable_name))

    def macro(self, macro_name: str) -> Macro:
        name = REQUIRED if macro_name == "REQUIRED" else macro_name
        return Macro(name, self._place(macro_name))

    def _place(self, name: str) -> Location:
        lines = self._piece.lines
        line = self.parser.current_token.start[0]  # one token ahead, perhaps on a later line
        while line > 1 and (line > len(lines) or name not in lines[line - 1]):
            line -= 1
        return self._piece.locate(line)

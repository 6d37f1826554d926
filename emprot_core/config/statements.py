"""Gin text read into statements with gin's own parser and without side effects; every fault is collected."""

import re
import tokenize
from dataclasses import dataclass, field
from typing import Any

from gin import config_parser

from emprot_core.config.faults import COMMAND_LINE, Fault, Location
from emprot_core.config.signature import Parameter
from emprot_core.config.syntax import SELECTOR, WORD, WORDS, cut, depth, explain, unclosed, unclosed_fault
from emprot_core.config.values import REQUIRED, Macro, Reference, Scope, Unreadable

MAX_NESTING = 50
_KEY = re.compile(rf"\s*({SELECTOR})\s*=")
_BLOCK = re.compile(rf"({SELECTOR})\s*:\s*(#.*)?$")


@dataclass(frozen=True)
class Binding:
    """scope/selector.parameter = value. A macro has no selector; its whole name is `parameter`.

    Attributes:
        value: what is written, references resolved once the binding is part of a tree.
        included: where the files around it include its file, outermost first.
        taker: the parameter that is bound, once the selector is resolved; None if it is a macro, or not bindable.
        meaning: the value with what macros stand for in their place, once the binding is part of a tree.
        macros: names of the macros that the meaning came through.
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
        """What gets the value: a component in a scope, or a macro."""
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
    """What a text holds. A value that cannot be read carries its fault itself; the others are in `faults`."""

    statements: list[Statement] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)


def parse(text: str, file: str) -> Parsed:
    """The statements of a gin text. `file` is how locations name it."""
    parsed = Parsed()
    for first_line, lines in cut(text):
        block = _BLOCK.match(lines[0])
        if block:
            _parse_block(block[1], first_line, lines, file, parsed)
        else:
            _parse_piece(first_line, lines, file, parsed)
    return parsed


def _parse_block(name: str, first_line: int, lines: list[str], file: str, parsed: Parsed) -> None:
    """`name:` and indented `parameter = value` lines are read as one statement each."""
    inside = [i for i in range(1, len(lines)) if lines[i].strip() and not lines[i].lstrip().startswith("#")]
    if not inside:
        help = ("indent its lines: parameter = value",)
        parsed.faults.append(Fault("syntax", f"the block {name}: is empty", Location(file, first_line, lines[0]), help))
        return
    indent = lines[inside[0]][: -len(lines[inside[0]].lstrip())]
    members = [i for i in inside if re.match(f"{indent}[A-Za-z_]", lines[i]) or i == inside[0]]
    for i, end in zip(members, [*members[1:], len(lines)], strict=True):
        piece = [f"{name}.{lines[i].lstrip()}", *lines[i + 1 : end]]
        _parse_piece(first_line + i, piece, file, parsed, shown=lines[i:end])


def _parse_piece(first_line: int, lines: list[str], file: str, parsed: Parsed, shown: list[str] | None = None) -> None:
    """One statement; `shown` are its lines as the file has them."""
    shown = shown or lines

    def locate(line: int) -> Location:
        line = min(max(line, 1), len(shown))  # the parser may blame the line after the last
        return Location(file, first_line + line - 1, shown[line - 1])

    text = "\n".join(lines)
    found = unclosed(text)
    if found:
        _note_fault(unclosed_fault(found[1], locate(found[0] + 1)), text, locate(1), parsed)
        return
    if depth(text) > MAX_NESTING:
        message = f"brackets are nested {depth(text)} deep, at most {MAX_NESTING} are read"
        _note_fault(Fault("too-large", message, locate(1)), text, locate(1), parsed)
        return
    delegate = _Delegate(lines, locate)
    read = []
    try:
        parser = config_parser.ConfigParser(text, delegate)
        delegate.parser = parser
        for statement in parser:
            if not isinstance(statement, config_parser.BlockDeclaration):  # its bindings follow
                read.append(_translate(statement, locate(statement.location.line_num)))
    except (SyntaxError, tokenize.TokenError, ValueError) as error:
        line = error.lineno if isinstance(error, SyntaxError) else None
        cause = error if isinstance(error, SyntaxError) else SyntaxError(str(error.args[0]))
        _note_fault(explain(cause, locate(line or 1)), "" if read else text, locate(1), parsed)
    parsed.statements.extend(read)


def _note_fault(fault: Fault, text: str, location: Location, parsed: Parsed) -> None:
    """A binding whose value cannot be read stays a binding, so that it is not called missing as well."""
    key = _KEY.match(text)
    if not key:
        parsed.faults.append(fault)
        return
    words = WORDS if location.file == COMMAND_LINE else WORD
    value = text[key.end() :].split("#")[0].strip()
    scope, selector, parameter = config_parser.parse_binding_key(key[1])
    unreadable = Unreadable(value if words.fullmatch(value) else "", fault)
    parsed.statements.append(_binding(scope, selector, parameter, unreadable, location))


def _translate(statement: Any, location: Location) -> Statement:
    if isinstance(statement, config_parser.IncludeStatement):
        return Include(statement.filename, location)
    if isinstance(statement, config_parser.ImportStatement):
        return Import(statement.module, location)
    return _binding(statement.scope, statement.selector, statement.arg_name, statement.value, location)


def _binding(scope: str, selector: str, parameter: str, value: Any, location: Location) -> Binding:
    if parameter:
        return Binding(scope, selector, parameter, value, location)
    return Binding("", "", f"{scope}/{selector}" if scope else selector, value, location)


class _Delegate(config_parser.ParserDelegate):  # type: ignore[misc]  # gin has no types
    """Makes plain values of references and macros; knows where the parser stands."""

    parser: config_parser.ConfigParser

    def __init__(self, lines: list[str], locate: Any):
        self._lines = lines
        self._locate = locate

    def configurable_reference(self, scoped_configurable_name: str, evaluate: bool) -> Reference:
        *scopes, name = scoped_configurable_name.split("/")
        return Reference(tuple(scopes), name, evaluate, self._place(scoped_configurable_name))

    def macro(self, macro_name: str) -> Macro:
        name = REQUIRED if macro_name == "REQUIRED" else macro_name
        return Macro(name, self._place(macro_name))

    def _place(self, name: str) -> Location:
        line = self.parser.current_token.start[0]  # one token ahead, perhaps on a later line
        while line > 1 and (line > len(self._lines) or name not in self._lines[line - 1]):
            line -= 1
        return self._locate(line)

"""A gin text cut into statements, and the faults of their syntax.

gin's parser stops at the first error, and it blames an open bracket on a later line. So each statement is parsed alone,
brackets are checked before, and an error of the parser is put into words that a user can act on.
"""

import re
from collections.abc import Iterator
from typing import NamedTuple

from emprot_core.config.faults import COMMAND_LINE, Fault, Location

SELECTOR = r"(?:\w+/)*(?:\w+\.)*\w+"
WORD = re.compile(r"[\w./~][^\s'\"()\[\]{}@%#,;]*")
"""A string without its quotes: fast, cuda:1, runs/x, ~/runs."""
WORDS = re.compile(r"(?:[\w./~*?]|\{\w+\})(?:[^\n'\"()\[\]{}@%#,;]|\{\w+\})*")
"""The same on the command line: the shell has removed the quotes of 'my file.pdb', '*.xtc' and '{protein}.pdb'."""
MAX_NESTING = 50

_BLOCK = re.compile(rf"({SELECTOR})\s*:\s*(#.*)?$")
_STATEMENT_START = re.compile(r"(?!(True|False|None)\s*[,\]):}]|[rRbBuU]{1,2}['\"])[A-Za-z_]")
_PIECES = re.compile(
    r"#[^\n]*"
    r"|(?P<string>'''(?:\\.|[^\\])*?'''|\"\"\"(?:\\.|[^\\])*?\"\"\""
    r"|'(?!'')(?:\\.|[^'\\\n])*'|\"(?!\"\")(?:\\.|[^\"\\\n])*\")"
    r"|(?P<quote>'''|\"\"\"|['\"])"
    r"|(?P<bracket>[\[\](){}])",
    re.DOTALL,
)
_CLOSES = {")": "(", "]": "[", "}": "{"}
_PYTHON_SPELLING = {"true": "True", "false": "False", "none": "None", "null": "None"}


class Piece(NamedTuple):
    """One statement of a text.

    Attributes:
        first_line: the number of its first line in the file.
        lines: its lines as the file has them.
        text: what the parser reads. A line of a block has the name of the block in front.
    """

    file: str
    first_line: int
    lines: list[str]
    text: str

    def locate(self, line: int) -> Location:
        """The location of a line of the piece, counted from 1."""
        line = min(max(line, 1), len(self.lines))  # the parser may blame the line after the last
        return Location(self.file, self.first_line + line - 1, self.lines[line - 1])


def cut(text: str, file: str) -> Iterator[Piece]:
    """The statements of a text. Each `parameter = value` in a block is a statement of its own."""
    for first_line, lines in _statements(text):
        block = _BLOCK.match(lines[0])
        members = _members(lines) if block else []
        if not block or not members:
            yield Piece(file, first_line, lines, "\n".join(lines))
            continue
        for start, end in zip(members, [*members[1:], len(lines)], strict=True):
            shown = lines[start:end]
            yield Piece(file, first_line + start, shown, f"{block[1]}." + "\n".join(shown).lstrip())


def early_fault(piece: Piece) -> Fault | None:
    """A fault that gin's parser would blame on a later line: an empty block, an open bracket, an open string."""
    block = _BLOCK.match(piece.lines[0])
    if block:
        help = "indent its lines: parameter = value"
        return _fault(f"the block {block[1]}: is empty", piece.locate(1), help)
    opened: list[tuple[int, str]] = []
    deepest = 0
    for found in _PIECES.finditer(piece.text):
        if found["string"] or not (found["quote"] or found["bracket"]):
            continue
        line, character = piece.text.count("\n", 0, found.start()) + 1, found[0]
        if found["quote"]:
            message = f"the string that {character} opens is never closed"
            return _fault(message, piece.locate(line), f"end it with {character}")
        if character not in _CLOSES:
            opened.append((line, character))
            deepest = max(deepest, len(opened))
        elif not opened or opened.pop()[1] != _CLOSES[character]:
            help = "remove it, or open the bracket before"
            return _fault(f"{character!r} closes nothing", piece.locate(line), help)
    if opened:
        line, character = opened[-1]
        closing = next(close for close, opening in _CLOSES.items() if opening == character)
        return _fault(f"{character!r} is never closed", piece.locate(line), f"close it with {closing!r}")
    if deepest > MAX_NESTING:
        message = f"brackets are nested {deepest} deep, at most {MAX_NESTING} are read"
        return Fault("too-large", message, piece.locate(1))
    return None


def comment_of(line: str) -> str:
    """The comment at the end of a line, with its #."""
    return next((piece[0] for piece in _PIECES.finditer(line) if piece[0].startswith("#")), "")


def explain(message: str, location: Location) -> Fault:
    """The fault for an error of the parser, by its message and the line where it was raised."""
    message = " ".join(message.rstrip(".").split())
    text = location.text
    value = text.partition("=")[2].split("#")[0].strip()
    include = re.match(r"\s*include\s+([^'\"#]*)", text)
    token = re.search(r"Failed to parse token '(.*)'$", message)
    if include:
        return _fault("include takes a file name in quotes", location, f"include '{include[1].strip() or 'file.gin'}'")
    if token:
        whole = value.startswith(token[1]) and WORD.fullmatch(value)
        return _no_value(value if whole else token[1].strip(), location)
    if "Unable to parse value" in message:
        if value or "=" not in text:
            return _no_value(value or text.strip(), location)
        help = "write None for no value, or '' for an empty string (in a shell: \"''\")"
        return _fault("there is no value after =", location, help)
    if "Expected newline" in message and re.fullmatch(r"[-+*/%. ()\deE]+", value):
        return _fault(f"{value!r} is not a gin value", location, "gin does no arithmetic: write the number")
    if "Expected newline" in message and WORD.fullmatch(value):
        return _no_value(value, location)
    if re.search("Couldn't parse statement|Unexpected token|Malformatted|Expected newline", message):
        return _fault("this is no statement", location, _statement_advice(text))
    if "Expected ',' or" in message:
        return _fault(message, location, "put a comma between two items")
    return _fault(message, location)


def _fault(message: str, location: Location, *help: str) -> Fault:
    return Fault("syntax", message, location, help)


def _statements(text: str) -> Iterator[tuple[int, list[str]]]:
    """The first line number and the lines of each statement or block. A name at the start of a line begins one."""
    lines = text.split("\n")
    starts = [i for i, line in enumerate(lines) if _STATEMENT_START.match(line)]
    first = starts[0] if starts else len(lines)
    if any(line.strip() and not line.lstrip().startswith("#") for line in lines[:first]):
        yield 1, lines[:first]  # this is no statement, and it must not be passed over
    while starts:
        first, *starts = starts
        while starts and _opens_triple_quotes("\n".join(lines[first : starts[0]])):
            del starts[0]
        yield first + 1, lines[first : starts[0] if starts else len(lines)]


def _members(block: list[str]) -> list[int]:
    """Indices of the lines that begin a statement of a block: those with the same indent as the first."""
    inside = [i for i, line in enumerate(block) if i and line.strip() and not line.lstrip().startswith("#")]
    if not inside:
        return []
    first = block[inside[0]]
    indent = first[: -len(first.lstrip())]
    return [i for i in inside if i == inside[0] or re.match(f"{indent}[A-Za-z_]", block[i])]


def _opens_triple_quotes(text: str) -> bool:
    """Whether the text ends within a string of several lines."""
    return any(found["quote"] and len(found[0]) == 3 for found in _PIECES.finditer(text))


def _no_value(text: str, location: Location) -> Fault:
    message = f"{text!r} is not a gin value"
    if text.lower() in _PYTHON_SPELLING:
        return _fault(message, location, f"Python spells it {_PYTHON_SPELLING[text.lower()]}")
    word = text if re.fullmatch(r"[A-Za-z_]\w*", text) else "name"
    quoted = word if re.search("['\"]", text) else text
    advice = [f'a string needs quotes: "{quoted}"; a component is @{word} or @{word}(); a macro is %{word}']
    assigned = f'{location.text.partition("=")[0].strip()}="{quoted}"'
    if location.file.startswith("--"):
        advice.append(f"the shell removes one pair of quotes: --gin_bindings='{assigned}'")
    elif location.file == COMMAND_LINE:
        advice.append(f"the shell removes one pair of quotes: '{assigned}'")
    return _fault(message, location, *advice)


def _statement_advice(text: str) -> str:
    """What may have been meant by a line that is no statement."""
    text = text.split("#")[0].strip()
    yaml = re.fullmatch(rf"({SELECTOR}):\s*(\S.*)", text)
    if yaml:
        return f"gin binds with =: {yaml[1]} = {yaml[2]}"
    if re.fullmatch(rf"{SELECTOR}\s*=[^=].*;", text):
        return "a line ends without ;"
    other = re.fullmatch(rf"({SELECTOR})\s*(==|\+=|:=).*", text)
    if other:
        return f"gin binds with =: {other[1]} = ..."
    if re.fullmatch(SELECTOR, text):
        return f"give it a value: {text} = ..."
    return "statements are Name.parameter = value, MACRO = value, include 'file.gin' and import module"

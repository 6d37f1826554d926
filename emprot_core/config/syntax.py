"""What gin's parser leaves to us: a text cut into statements, so that a fault in one leaves the others whole, and
errors in words that a user can act on. (The parser alone stops at the first error and blames an open bracket on a later
line.)
"""

import re
from collections.abc import Iterator

from emprot_core.config.faults import COMMAND_LINE, Fault, Location

SELECTOR = r"(?:\w+/)*(?:\w+\.)*\w+"
WORD = re.compile(r"[\w./~][^\s'\"()\[\]{}@%#,;]*")
"""What stands for a string where quotes were forgotten: fast, cuda:1, runs/x, ~/runs."""
WORDS = re.compile(r"[\w./~][^\n'\"()\[\]{}@%#,;]*")
"""The same on the command line, where the shell has taken the quotes off a value with spaces: my file.pdb."""

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
_FORMS = ("statements are Name.parameter = value, MACRO = value, include 'file.gin' and import module",)


def cut(text: str) -> Iterator[tuple[int, list[str]]]:
    """First line number and lines of each statement. One begins where a line begins with a name."""
    lines = text.split("\n")
    starts = [i for i, line in enumerate(lines) if _STATEMENT_START.match(line)]
    first = starts[0] if starts else len(lines)
    if any(line.strip() and not line.lstrip().startswith("#") for line in lines[:first]):
        yield 1, lines[:first]  # no statement, but not to be passed over either
    while starts:
        first, *starts = starts
        while starts and _opens_triple_quotes("\n".join(lines[first : starts[0]])):
            del starts[0]
        yield first + 1, lines[first : starts[0] if starts else len(lines)]


def unclosed(text: str) -> tuple[int, str] | None:
    """Line (from 0) and character of a bracket or quote that is opened and not closed, or closes nothing."""
    opened: list[tuple[int, str]] = []
    for piece in _PIECES.finditer(text):
        if piece["string"] or not (piece["quote"] or piece["bracket"]):
            continue
        place = text.count("\n", 0, piece.start()), piece[0]
        if piece["quote"]:
            return place
        if piece[0] not in _CLOSES:
            opened.append(place)
        elif not opened or opened.pop()[1] != _CLOSES[piece[0]]:
            return place
    return opened[-1] if opened else None


def depth(text: str) -> int:
    """How deeply brackets are nested."""
    deepest = now = 0
    for piece in _PIECES.finditer(text):
        now += 0 if not piece["bracket"] else -1 if piece[0] in _CLOSES else 1
        deepest = max(deepest, now)
    return deepest


def comment_of(line: str) -> str:
    """The comment at the end of a line, with its #."""
    return next((piece[0] for piece in _PIECES.finditer(line) if piece[0].startswith("#")), "")


def unclosed_fault(character: str, location: Location) -> Fault:
    """The fault for a bracket or quote that has no partner."""
    if character in _CLOSES:
        return Fault("syntax", f"{character!r} closes nothing", location, ("remove it, or open the bracket before",))
    if character[0] in "'\"":
        message = f"the string that {character} opens is never closed"
        return Fault("syntax", message, location, (f"end it with {character}",))
    closing = next(close for close, opening in _CLOSES.items() if opening == character)
    return Fault("syntax", f"{character!r} is never closed", location, (f"close it with {closing!r}",))


def explain(error: SyntaxError, location: Location) -> Fault:
    """The fault for an error that the parser raised at `location`."""
    message = " ".join(str(error.msg).rstrip(".").split())
    include = re.match(r"\s*include\s+([^'\"#]*)", location.text)
    if include:
        name = include[1].strip() or "file.gin"
        return Fault("syntax", "include takes a file name in quotes", location, (f"include '{name}'",))
    value = location.text.partition("=")[2].split("#")[0].strip()
    token = re.search(r"Failed to parse token '(.*)'$", message)
    if token:
        whole = value.startswith(token[1]) and WORD.fullmatch(value)
        return _no_value(value if whole else token[1].strip(), location)
    if "Unable to parse value" in message:
        if "=" in location.text and not value:
            return Fault(
                "syntax",
                "there is no value after =",
                location,
                ("write None for no value, or '' for an empty string (in a shell: \"''\")",),
            )
        return _no_value(value or location.text.strip(), location)
    if "Expected newline" in message and re.fullmatch(r"[-+*/%. ()\deE]+", value):
        return Fault("syntax", f"{value!r} is not a gin value", location, ("gin does no arithmetic: write the number",))
    if "Expected newline" in message and WORD.fullmatch(value):
        return _no_value(value, location)
    if re.search("Couldn't parse statement|Unexpected token|Malformatted|Expected newline", message):
        return Fault("syntax", "this is no statement", location, _statement_advice(location.text))
    if "Expected ',' or" in message:
        return Fault("syntax", message, location, ("put a comma between two items",))
    return Fault("syntax", message, location)


def _opens_triple_quotes(text: str) -> bool:
    found = unclosed(text)
    return found is not None and len(found[1]) == 3


def _no_value(text: str, location: Location) -> Fault:
    message = f"{text!r} is not a gin value"
    if text.lower() in _PYTHON_SPELLING:
        return Fault("syntax", message, location, (f"Python spells it {_PYTHON_SPELLING[text.lower()]}",))
    word = text if re.fullmatch(r"[A-Za-z_]\w*", text) else "name"
    quoted = word if re.search("['\"]", text) else text
    advice = [f'a string needs quotes: "{quoted}"; a component is @{word} or @{word}(); a macro is %{word}']
    key = location.text.partition("=")[0].strip()
    if location.file.startswith("--"):
        advice.append(f"the shell removes one pair of quotes: --gin_bindings='{key}=\"{quoted}\"'")
    elif location.file == COMMAND_LINE:
        advice.append(f"the shell removes one pair of quotes: '{key}=\"{quoted}\"'")
    return Fault("syntax", message, location, tuple(advice))


def _statement_advice(text: str) -> tuple[str, ...]:
    """What may have been meant by a line that is no statement."""
    text = text.split("#")[0].strip()
    yaml = re.fullmatch(rf"({SELECTOR}):\s*(\S.*)", text)
    if yaml:
        return (f"gin binds with =: {yaml[1]} = {yaml[2]}",)
    if re.fullmatch(rf"{SELECTOR}\s*=[^=].*;", text):
        return ("a line ends without ;",)
    if re.fullmatch(rf"{SELECTOR}\s*(==|\+=|:=).*", text):
        return (f"gin binds with =: {re.split('==|[+]=|:=', text)[0].strip()} = ...",)
    if re.fullmatch(SELECTOR, text):
        return (f"give it a value: {text} = ...",)
    return _FORMS

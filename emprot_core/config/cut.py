"""The text of a gin file cut into statements, so that a fault in one leaves the others whole.

gin's parser alone stops at the first error and blames an open bracket on a later line.
"""

import re
from collections.abc import Iterator

_STATEMENT_START = re.compile(r"(?!(True|False|None)\s*[,\]):}]|[rRbBuU]{1,2}['\"])[A-Za-z_]")
_PIECES = re.compile(
    r"#[^\n]*"
    r"|(?P<string>'''(?:\\.|[^\\])*?'''|\"\"\"(?:\\.|[^\\])*?\"\"\""
    r"|'(?!'')(?:\\.|[^'\\\n])*'|\"(?!\"\")(?:\\.|[^\"\\\n])*\")"
    r"|(?P<quote>'''|\"\"\"|['\"])"
    r"|(?P<bracket>[\[\](){}])",
    re.DOTALL,
)
CLOSES = {")": "(", "]": "[", "}": "{"}


def statements(text: str) -> Iterator[tuple[int, list[str]]]:
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
        if piece[0] not in CLOSES:
            opened.append(place)
        elif not opened or opened.pop()[1] != CLOSES[piece[0]]:
            return place
    return opened[-1] if opened else None


def _opens_triple_quotes(text: str) -> bool:
    found = unclosed(text)
    return found is not None and len(found[1]) == 3

"""Text of docstrings and notebooks as Markdown."""

import json
import re
from collections.abc import Iterable, Iterator
from pathlib import Path

_SECTIONS = ("Raises:", "Returns:", "Args:", "Attributes:", "Yields:")


def as_markdown(lines: Iterable[str]) -> Iterator[str]:
    """The lines of a docstring. Indented ones are a block of code, or the items of a section such as Raises."""
    section = False
    block = False
    for line in lines:
        if line in _SECTIONS:
            yield from ["```"] if block else []
            section, block = True, False
            yield from ("", f"**{line.removesuffix(':')}**", "")
            continue
        section = section and (not line or line.startswith(" "))
        indented = line.startswith(" ") and not section
        if indented != block and line:
            yield from ("", "```text") if indented else ("```", "")
            block = indented
        if section and line:
            yield _item(line)
        else:
            yield line.removeprefix("    ") if block else escaped(line)
    if block:
        yield "```"


def escaped(text: str) -> str:
    """The text with the signs of Markdown made plain, outside of `code`."""
    pieces = re.split(r"(`[^`]*`)", text)
    return "".join(piece if piece.startswith("`") else _plain(piece) for piece in pieces)


def notebook_page(path: Path) -> str:
    """The cells of a notebook, without their outputs."""
    texts = []
    for cell in json.loads(path.read_text())["cells"]:
        source = "".join(cell["source"])
        texts.append(source if cell["cell_type"] == "markdown" else f"```python\n{source}\n```")
    return "\n\n".join(texts) + "\n"


def _item(line: str) -> str:
    """A line of a section: `name: meaning` is an item; what is indented further goes on with it."""
    if line.startswith("     "):
        return f"  {escaped(line.strip())}"
    name, colon, meaning = line.strip().partition(": ")
    return f"- `{name}`: {escaped(meaning)}" if colon and name.isidentifier() else escaped(line.strip())


def _plain(text: str) -> str:
    return re.sub(r"([*_\[\]{}\\])", r"\\\1", text).replace("<", "&lt;")

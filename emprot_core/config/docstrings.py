"""What the docstring of a component says: of itself, and of each parameter."""

import inspect
import re

from emprot_core.registry import Entry

_ABOUT_PARAMETERS = ("Args:", "Attributes:")


def docstring(entry: Entry) -> list[str]:
    """The lines of a component's own docstring and that of its __init__. Inherited docstrings are left out."""
    constructor = vars(entry.target).get("__init__")
    texts = [entry.target.__doc__, constructor.__doc__ if constructor else None]
    known = [inspect.cleandoc(text) for text in texts if text]
    return "\n\n".join(known or ["(no docstring)"]).splitlines()


def prose(entry: Entry) -> list[str]:
    """The docstring without what it says about parameters."""
    return _read(entry)[0]


def meanings(entry: Entry) -> dict[str, str]:
    """What the docstring says about each parameter under Args or Attributes."""
    return _read(entry)[1]


def _read(entry: Entry) -> tuple[list[str], dict[str, str]]:
    rest: list[str] = []
    found: dict[str, str] = {}
    section = ""
    current: list[str] = []
    for line in docstring(entry):
        if line and not line.startswith(" "):
            section, current = line.strip(), []
        if section not in _ABOUT_PARAMETERS:
            rest.append(line)
        elif parameter := re.match(r"    (\w+(?:, \w+)*)(?: \(.*\))?: (.*)", line):
            current = parameter[1].split(", ")
            found |= dict.fromkeys(current, parameter[2])
        elif line.startswith(" "):
            found |= {name: f"{found[name]} {line.strip()}" for name in current}
    text = re.sub(r"\n{3,}", "\n\n", "\n".join(rest)).strip()
    return text.splitlines(), found

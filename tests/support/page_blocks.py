"""The blocks of code in the pages, each with the comment that stands before it."""

import re
from typing import NamedTuple

from places import ROOT

PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]


class Block(NamedTuple):
    """A fenced block of a page."""

    page: str
    comment: str
    language: str
    text: str

    @property
    def commands(self) -> list[str]:
        """The lines, one that goes on after a backslash as one."""
        return [line.strip() for line in re.sub(r"\s*\\\n", " ", self.text).splitlines()]


BLOCKS = [
    Block(str(page.relative_to(ROOT)), *found)
    for page in PAGES
    for found in re.findall(r"(?:^<!-- (.*?) -->\n)?^```(\w*)\n(.*?)^```$", page.read_text(), re.MULTILINE | re.DOTALL)
]


def blocks(language: str) -> list[Block]:
    """The blocks in a language."""
    return [block for block in BLOCKS if block.language == language]


def is_a_config(command: str) -> bool:
    """Whether tests/runs/test_gin_configs.py runs the command."""
    return command.startswith("emprot-run ") and ("--gin_file" in command or "--export" in command)


def asks_about_runs(command: str) -> bool:
    """Whether tests/pages/test_commands.py runs the command."""
    return command.startswith("emprot-run ") and not is_a_config(command)

"""Faults of a configuration. Each has a location, a code, a message, and advice. All are reported at once."""

import difflib
import textwrap
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from emprot_core.errors import EmprotError

COMMAND_LINE = "command line"
"""The place of overrides like Trainer.max_epochs=3."""

WIDTH = 100
MAX_SHOWN, MAX_LINE, MAX_PAGES = 50, 200, 3  # faults of a report, characters of a line in it, headings that it names
Code = Literal[
    "syntax", "missing-file", "include-cycle", "import", "unknown-component", "unknown-parameter", "late-parameter",
    "call-style", "kind", "type", "missing", "undefined-macro", "bare-name", "ambiguous", "duplicate",
    "reference-cycle", "too-large", "unused",
]  # fmt: skip
NO_BREAK = "\u00a0"
"""A space at which no line of help is broken."""


@dataclass(frozen=True)
class Location:
    """A place in a gin file or on the command line. Line 0 means the file as a whole."""

    file: str
    line: int = 0
    text: str = ""  # the line itself

    def __str__(self) -> str:
        return f"{self.file}:{self.line}" if self.line and self.file != COMMAND_LINE else self.file


@dataclass(frozen=True)
class Fault:
    """One thing that is wrong. Each line of `help` says what to do; docs/faults.md has a heading for each code."""

    code: Code
    message: str
    location: Location
    help: tuple[str, ...] = ()
    severity: str = "error"

    def __str__(self) -> str:
        lines = [f"{self.location}: {self.severity}[{self.code}]: {self.message}"]
        if text := self.location.text.strip():
            lines.append(f"    {text if len(text) <= MAX_LINE else text[:MAX_LINE] + ' ...'}")
        wrapped = [part for line in self.help for part in textwrap.wrap(line, WIDTH - 8, break_on_hyphens=False)]
        lines += [("  help: " if i == 0 else "        ") + line for i, line in enumerate(wrapped)]
        return "\n".join(lines).replace(NO_BREAK, " ")


class Faults(list[Fault]):
    """The list in which every step of a load notes what it finds."""

    def note(self, code: Code, message: str, location: Location, *help: str) -> None:
        if code in ("missing", "undefined-macro") and any(fault.code == "missing-file" for fault in self):
            help = (*help, "or a file that was not found was to give it")
        self.append(Fault(code, message, location, help))


class ConfigError(EmprotError):
    """Everything that is wrong with a configuration; its text is the whole report."""

    def __init__(self, faults: Sequence[Fault]):
        super().__init__(tuple(faults))
        self.faults = tuple(faults)

    def __str__(self) -> str:
        count = "1 problem" if len(self.faults) == 1 else f"{len(self.faults)} problems"
        more = [f"... and {len(self.faults) - MAX_SHOWN} more"] if len(self.faults) > MAX_SHOWN else []
        codes = [f"#{code}" for code in dict.fromkeys(fault.code for fault in self.faults)]
        docs = f"docs: faults{', '.join(codes) if len(codes) <= MAX_PAGES else ''}"
        return "\n".join([*map(str, self.faults[:MAX_SHOWN]), *more, f"{count}; nothing was run. {docs}"])


def nearest(name: str, known: Iterable[str]) -> list[str]:
    """The known name that `name` may stand for, if there is one: similar (capitals and _ do not matter), else by its
    initials (lr: learning_rate), else as a part (norm: max_grad_norm)."""
    by_form = {_form(candidate): candidate for candidate in known}
    similar = difflib.get_close_matches(_form(name), by_form, n=1)
    if similar:
        return [by_form[similar[0]]]
    initials = [it for it in by_form.values() if "_" in it and "".join(word[:1] for word in it.split("_")) == name]
    parts = [it for it in by_form.values() if len(name) > 3 and name in it.split("_")]
    return (initials or parts)[:1]


def did_you_mean(candidates: Sequence[str]) -> tuple[str, ...]:
    """A line of help, or none."""
    return (f"did you mean {' or '.join(candidates)}?",) if candidates else ()


def _form(name: str) -> str:
    return name.lower().replace("_", "")

"""All files and command-line bindings read in their order, includes in place, before anything is imported or bound."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import NamedTuple

from emprot_core.config.faults import Fault, Location
from emprot_core.config.locate import Found, locate
from emprot_core.config.statements import Binding, Import, Include, parse


@dataclass
class Source:
    """What was read. A later binding of the same parameter overrides an earlier one."""

    bindings: list[Binding] = field(default_factory=list)
    imports: list[Import] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)
    files: list[str] = field(default_factory=list)  # as locations name them

    def position(self, location: Location) -> tuple[int, int]:
        """Sorts places in the order in which they were read."""
        index = self.files.index(location.file) if location.file in self.files else len(self.files)
        return index, location.line


def read(files: Sequence[str], bindings: Sequence[str], search_paths: Sequence[str]) -> Source:
    """Everything that the named files, their includes and the bindings say."""
    reader = _Reader(search_paths)
    for name in files:
        reader.read_file(name, Location(name))
    for i, text in enumerate(bindings):
        reader.read_text(text, f"--gin_bindings[{i}]")
    return reader.source


def read_text(text: str, name: str) -> Source:
    """Everything that a text says; what it includes is looked for as if named on the command line."""
    reader = _Reader(())
    reader.read_text(text, name)
    return reader.source


class _Includer(NamedTuple):
    """A file that is being read, and the include statement in it that led further."""

    file: Found
    statement: Location


class _Reader:
    def __init__(self, search_paths: Sequence[str]):
        self.source = Source()
        self._search_paths = search_paths

    def read_text(self, text: str, shown: str) -> None:
        self._take(text.replace("\r\n", "\n"), shown, None, ())

    def read_file(self, name: str, named_at: Location, including: tuple[_Includer, ...] = ()) -> None:
        """Read one file. `including`: the files around it, outermost first."""
        beside = including[-1].file.path.parent if including else None
        found = locate(name, beside, self._search_paths)
        if not isinstance(found, Found):
            self._fault("missing-file", found.message, named_at, found.help)
            return
        around = [includer.file for includer in including]
        if found.path.resolve() in [file.path.resolve() for file in around]:
            chain = " -> ".join(file.shown for file in (*around, found))
            self._fault("include-cycle", f"{found.shown} includes itself: {chain}", named_at)
            return
        text = self._text(found.path, named_at)
        if text is not None:
            self._take(text, found.shown, found, including)

    def _take(self, text: str, shown: str, file: Found | None, including: tuple[_Includer, ...]) -> None:
        self.source.files.append(shown)
        parsed = parse(text, shown)
        self.source.faults += parsed.faults
        for statement in parsed.statements:
            if isinstance(statement, Include):
                inner = (*including, _Includer(file, statement.location)) if file else ()
                self.read_file(statement.filename, statement.location, inner)
            elif isinstance(statement, Import):
                self.source.imports.append(statement)
            else:
                included = tuple(includer.statement for includer in including)
                self.source.bindings.append(replace(statement, included=included))

    def _text(self, path: Path, named_at: Location) -> str | None:
        try:
            return path.read_text(encoding="utf-8-sig")
        except UnicodeDecodeError as error:
            self._fault(
                "syntax", f"{path.name} is not UTF-8 text (byte {error.start})", named_at, ("save it as UTF-8",)
            )
        except OSError as error:
            self._fault("missing-file", f"{path.name} cannot be read: {error.strerror}", named_at)
        return None

    def _fault(self, code: str, message: str, at: Location, advice: tuple[str, ...] = ()) -> None:
        self.source.faults.append(Fault(code, message, at, advice))

"""Reads all gin files and the bindings of the command line, in their order and with the includes in place.

An include is looked for beside the file that includes it. It is not looked for in the current directory, so that a
stray file there cannot shadow a shipped one.
"""

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from importlib.util import find_spec
from pathlib import Path

from emprot_core.config.faults import COMMAND_LINE, Faults, Location, did_you_mean, nearest
from emprot_core.config.statements import Binding, Import, Include, parse

SHIPPED = "emprot_gin_configs"


@dataclass
class Source:
    """What was read. A later binding of the same parameter overrides an earlier one.

    Attributes:
        left_out: includes that were not followed.
        files: what was read, as locations name it.
    """

    bindings: list[Binding] = field(default_factory=list)
    imports: list[Import] = field(default_factory=list)
    left_out: list[Include] = field(default_factory=list)
    files: list[str] = field(default_factory=list)
    faults: Faults = field(default_factory=Faults)

    def position(self, location: Location) -> tuple[int, int]:
        """A key that sorts locations in the order of reading."""
        return [*self.files, location.file].index(location.file), location.line


def read(
    files: Sequence[str], bindings: Sequence[str] = (), overrides: Sequence[str] = (), search_paths: Sequence[str] = ()
) -> Source:
    """Everything that the named files with their includes, then the bindings, then the overrides say."""
    reader = _Reader(search_paths)
    for name in files:
        reader.read_file(name, Location(name or "--gin_file"))
    for i, text in enumerate(bindings):
        reader.read_text(text, f"--gin_bindings[{i}]")
    for text in overrides:
        reader.read_text(text, COMMAND_LINE)
    return reader.source


def read_back(text: str, name: str) -> Source:
    """Everything that the text of a run says. Such a text is complete, so an include in it is a fault."""
    reader = _Reader(follows=lambda include: False)
    reader.read_text(text, name)
    for include in reader.source.left_out:
        message = f"include {include.filename!r}: a config that is read back from a run includes no file"
        reader.source.faults.note("import", message, include.location)
    return reader.source


def read_shipped_only(file: str) -> Source:
    """What a stranger's file says. Of what it includes, only shipped files are read."""

    def is_shipped(include: Include) -> bool:
        return any(path.is_file() for path in _in_package(SHIPPED, Path(include.filename).name))

    reader = _Reader(follows=is_shipped)
    reader.read_file(file, Location(file))
    return reader.source


class _Reader:
    """Reads files and texts into one source. `follows` says whether to read what an include names."""

    def __init__(self, search_paths: Sequence[str] = (), follows: Callable[[Include], bool] = lambda include: True):
        self.source = Source()
        self._search_paths = search_paths
        self._follows = follows
        self._paths: dict[str, Path] = {}  # keys: how locations name the files

    def read_file(self, name: str, named_at: Location, including: tuple[Location, ...] = ()) -> None:
        """Read one file. `including`: the include statements that lead to it, outermost first."""
        faults = self.source.faults
        around = [self._paths[include.file] for include in including]
        places = list(_places(name, around[-1].parent if around else None, self._search_paths)) if name else []
        path = next((place for place in places if place.is_file()), None)
        if path is None:
            _note_missing_file(name, places, named_at, faults)
            return
        shown = _shown(path, name, not around)
        if path.resolve() in [outer.resolve() for outer in around]:
            chain = " -> ".join([*(include.file for include in including), shown])
            faults.note("include-cycle", f"{shown} includes itself: {chain}", named_at, "remove one include")
            return
        self._paths[shown] = path
        try:
            self.read_text(path.read_text(encoding="utf-8-sig"), shown, including)
        except UnicodeDecodeError as error:
            message = f"{path.name} is not UTF-8 text (byte {error.start})"
            faults.note("syntax", message, named_at, "save it as UTF-8")
        except OSError as error:
            faults.note("missing-file", f"{path} cannot be read: {error.strerror}", named_at)

    def read_text(self, text: str, shown: str, including: tuple[Location, ...] = ()) -> None:
        """Read a text. Locations name it as `shown`."""
        self.source.files.append(shown)
        parsed = parse(text.replace("\r\n", "\n"), shown)
        self.source.faults += parsed.faults
        for statement in parsed.statements:
            if isinstance(statement, Binding):
                self.source.bindings.append(replace(statement, included=including))
            elif isinstance(statement, Import):
                self.source.imports.append(statement)
            elif self._follows(statement):
                inner = (*including, statement.location) if shown in self._paths else ()
                self.read_file(statement.filename, statement.location, inner)
            else:
                self.source.left_out.append(statement)


def _places(name: str, beside: Path | None, search_paths: Sequence[str]) -> Iterator[Path]:
    """Where a file of that name may be, in this order."""
    package, colon, file = name.partition(":")
    if Path(name).is_absolute():
        yield Path(name)
    elif colon and "/" not in package:
        yield from _in_package(package, file)
    else:
        yield (beside or Path.cwd()) / name
        yield from (Path(path).expanduser() / name for path in search_paths)
        yield from _in_package(SHIPPED, name)
        head, slash, rest = name.partition("/")
        if slash and head.isidentifier():  # gin's own way to name a packaged file
            yield from _in_package(head, rest)


def _in_package(package: str, file: str) -> list[Path]:
    """The place of a file in a package, or nothing.

    Nothing is imported: of a dotted name the first part is looked up, the rest are folders.
    """
    name, *folders = package.split(".")
    try:
        spec = find_spec(name)
    except (ImportError, ValueError):
        return []
    locations = list(spec.submodule_search_locations or ()) if spec else []
    return [Path(location, *folders, file) for location in locations[:1]]


def _shown(path: Path, name: str, given: bool) -> str:
    """How locations name a file: a shipped one as package:file, another as it was given or by its relative path."""
    for shipped in _in_package(SHIPPED, ""):
        if path.is_relative_to(shipped):
            return f"{SHIPPED}:{path.relative_to(shipped).as_posix()}"
    if given and Path.cwd() / name == path and not Path(name).is_absolute():
        return name
    relative = os.path.relpath(path)
    return str(path) if relative.startswith("..") else relative


def _note_missing_file(name: str, places: Sequence[Path], named_at: Location, faults: Faults) -> None:
    directory = next((place for place in places if place.is_dir()), None)
    if directory is None:
        faults.note("missing-file", f"there is no gin file {name!r}", named_at, *_advice(name, places))
        return
    inside = sorted(path.name for path in directory.glob("*.gin"))
    help = f"it holds {', '.join(inside) or 'no gin file'}"
    if "config.gin" in inside:
        help = f"did you mean {name.rstrip('/')}/config.gin?"
    faults.note("missing-file", f"{name!r} is a directory", named_at, help)


def _advice(name: str, places: Sequence[Path]) -> Iterator[str]:
    if not name:
        yield "name one: --gin_file=base.gin"
    if "," in name:
        yield f"one file each: {' '.join(f'--gin_file={part.strip()}' for part in name.split(','))}"
    package, colon, file = name.partition(":")
    wanted = Path(file or name).name.removesuffix(".gin") + ".gin"
    known = [path.name for place in places for path in place.parent.glob("*.gin")]
    yield from did_you_mean(nearest(wanted, known))
    if colon and not places:
        yield f"the package {package} is not installed"
    yield from (f"looked for {os.path.normpath(place)}" for place in dict.fromkeys(places))

"""All gin files and command-line bindings read in their order, includes in place, before anything is imported or bound.

An include is looked for beside the file that includes it, never in the current directory, so that a stray file there
cannot shadow a shipped one.
"""

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

from emprot_core.config.faults import COMMAND_LINE, Fault, Faults, Location, did_you_mean, nearest
from emprot_core.config.statements import Binding, Import, Include, parse

SHIPPED = "emprot_gin_configs"


@dataclass
class Source:
    """What was read. A later binding of the same parameter overrides an earlier one."""

    bindings: list[Binding] = field(default_factory=list)
    imports: list[Import] = field(default_factory=list)
    faults: Faults = field(default_factory=Faults)
    files: list[str] = field(default_factory=list)  # as locations name them

    def position(self, location: Location) -> tuple[int, int]:
        """Sorts places in the order in which they were read."""
        index = self.files.index(location.file) if location.file in self.files else len(self.files)
        return index, location.line


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
    """Everything that a text says which a run wrote. It holds all it needs, so an include in it is a fault."""
    reader = _Reader((), follows=lambda include: False)
    reader.read_text(text, name)
    for include in reader.left_out:
        message = f"include {include.filename!r}: a config that is read back from a run includes no file"
        reader.source.faults.append(Fault("import", message, include.location))
    return reader.source


def read_shipped_only(file: str) -> tuple[Source, list[Include]]:
    """What a stranger's file says, and the includes that were not read: all but those of shipped files."""
    shipped = _package_directory(SHIPPED)
    reader = _Reader((), follows=lambda include: bool(shipped and (shipped / Path(include.filename).name).is_file()))
    reader.read_file(file, Location(file))
    return reader.source, reader.left_out


class _File(NamedTuple):
    """A file that was found, and how locations name it."""

    path: Path
    shown: str


class _Includer(NamedTuple):
    """A file that is being read, and the include statement in it that led further."""

    file: _File
    statement: Location


class _Reader:
    def __init__(self, search_paths: Sequence[str], follows: Callable[[Include], bool] = lambda include: True):
        """`follows` says whether to read what an include names; the others are kept in `left_out`."""
        self.source = Source()
        self.left_out: list[Include] = []
        self._search_paths = search_paths
        self._follows = follows

    def read_text(self, text: str, shown: str) -> None:
        self._take(text.replace("\r\n", "\n"), shown, None, ())

    def read_file(self, name: str, named_at: Location, including: tuple[_Includer, ...] = ()) -> None:
        """Read one file. `including`: the files around it, outermost first."""
        beside = including[-1].file.path.parent if including else None
        places = list(_places(name, beside, self._search_paths)) if name else []
        path = next((place for place in places if place.is_file()), None)
        if path is None:
            self.source.faults.append(_missing_file(name, places, named_at))
            return
        file = _File(path, _shown(path, name, beside is None))
        around = [includer.file for includer in including]
        if path.resolve() in [outer.path.resolve() for outer in around]:
            chain = " -> ".join(outer.shown for outer in (*around, file))
            fault = Fault("include-cycle", f"{file.shown} includes itself: {chain}", named_at, ("remove one include",))
            self.source.faults.append(fault)
            return
        try:
            self._take(path.read_text(encoding="utf-8-sig"), file.shown, file, including)
        except UnicodeDecodeError as error:
            message = f"{path.name} is not UTF-8 text (byte {error.start})"
            self.source.faults.append(Fault("syntax", message, named_at, ("save it as UTF-8",)))
        except OSError as error:
            self.source.faults.append(Fault("missing-file", f"{path} cannot be read: {error.strerror}", named_at))

    def _take(self, text: str, shown: str, file: _File | None, including: tuple[_Includer, ...]) -> None:
        self.source.files.append(shown)
        parsed = parse(text, shown)
        self.source.faults += parsed.faults
        for statement in parsed.statements:
            if isinstance(statement, Include) and not self._follows(statement):
                self.left_out.append(statement)
            elif isinstance(statement, Include):
                inner = (*including, _Includer(file, statement.location)) if file else ()
                self.read_file(statement.filename, statement.location, inner)
            elif isinstance(statement, Import):
                self.source.imports.append(statement)
            else:
                included = tuple(includer.statement for includer in including)
                self.source.bindings.append(replace(statement, included=included))


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


def _in_package(package: str, file: str) -> Iterator[Path]:
    if directory := _package_directory(package):
        yield directory / file


def _package_directory(package: str) -> Path | None:
    """Where a package lies. Nothing is imported: of a dotted name the first part is looked up, the rest are folders."""
    name, *folders = package.split(".")
    try:
        spec = find_spec(name)
    except (ImportError, ValueError):
        return None
    locations = list(spec.submodule_search_locations or ()) if spec else []
    return Path(locations[0]).joinpath(*folders) if locations else None


def _shown(path: Path, name: str, given: bool) -> str:
    """Files below the current directory as they are; a shipped one as package:file, which can be fed as well."""
    shipped = _package_directory(SHIPPED)
    if shipped and path.is_relative_to(shipped):
        return f"{SHIPPED}:{path.relative_to(shipped).as_posix()}"
    if given and not Path(name).is_absolute() and (Path.cwd() / name) == path:
        return name
    relative = os.path.relpath(path)
    return str(path) if relative.startswith("..") else relative


def _missing_file(name: str, places: Sequence[Path], named_at: Location) -> Fault:
    directory = next((place for place in places if place.is_dir()), None)
    if directory is not None:
        return Fault("missing-file", f"{name!r} is a directory", named_at, _inside(directory, name))
    return Fault("missing-file", f"there is no gin file {name!r}", named_at, tuple(_advice(name, places)))


def _inside(directory: Path, name: str) -> tuple[str, ...]:
    if (directory / "config.gin").is_file():
        return (f"did you mean {name.rstrip('/')}/config.gin?",)
    files = sorted(path.name for path in directory.glob("*.gin"))
    return (f"it holds {', '.join(files) or 'no gin file'}",)


def _advice(name: str, places: Sequence[Path]) -> Iterator[str]:
    if not name:
        yield "name one: --gin_file=base.gin"
    if "," in name:
        yield f"one file each: {' '.join(f'--gin_file={part.strip()}' for part in name.split(','))}"
    package, colon, file = name.partition(":")
    wanted = Path(file or name).name
    known = [path.name for place in places if place.parent.is_dir() for path in place.parent.glob("*.gin")]
    yield from did_you_mean(nearest(wanted if wanted.endswith(".gin") else f"{wanted}.gin", known))
    if colon and not places:
        yield f"the package {package} is not installed"
    yield from (f"looked for {os.path.normpath(place)}" for place in dict.fromkeys(places))

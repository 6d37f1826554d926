"""Where gin files are: a name becomes a path, or the list of places that were searched.

An include is looked for beside the file that includes it, never in the current directory, so that a stray file there
cannot shadow a shipped one.
"""

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from emprot_core.config.faults import did_you_mean, nearest

SHIPPED = "emprot_gin_configs"


@dataclass(frozen=True)
class Found:
    """A file, and how locations name it."""

    path: Path
    shown: str


@dataclass(frozen=True)
class NotFound:
    """Why there is no file, and what to do."""

    message: str
    help: tuple[str, ...]


def locate(name: str, beside: Path | None, search_paths: Sequence[str]) -> Found | NotFound:
    """The gin file of that name.

    Args:
        name: a path, or `package:file.gin`.
        beside: the directory of the including file; None for a file named on the command line.
    """
    places = list(_places(name, beside, search_paths))
    for directory, file in places:
        if directory is not None and (directory / file).is_file():
            return Found(directory / file, _shown(directory / file, name, beside is None))
    for directory, file in places:
        if directory is not None and (directory / file).is_dir():
            return NotFound(f"{name!r} is a directory", _inside(directory / file, name))
    return NotFound(f"there is no gin file {name!r}", tuple(_advice(name, places)))


def _places(name: str, beside: Path | None, search_paths: Sequence[str]) -> Iterator[tuple[Path | None, str]]:
    """Directories to look in, in their order, and the name within each; None for a package that is not installed."""
    package, colon, file = name.partition(":")
    if Path(name).is_absolute():
        yield Path("/"), name
        return
    if colon and "/" not in package:
        yield _package_directory(package), file
        return
    yield beside or Path.cwd(), name
    for path in search_paths:
        yield Path(path).expanduser(), name
    yield _package_directory(SHIPPED), name
    head, slash, rest = name.partition("/")
    if slash and head.isidentifier() and _package_directory(head):  # gin's own way to name a packaged file
        yield _package_directory(head), rest


def _package_directory(package: str) -> Path | None:
    try:
        spec = find_spec(package)
    except (ImportError, ValueError):
        return None
    locations = list(spec.submodule_search_locations or ()) if spec else []
    return Path(locations[0]) if locations else None


def _shown(path: Path, name: str, given: bool) -> str:
    """Files below the current directory as they are; a shipped one as package:file, which can be fed as well."""
    shipped = _package_directory(SHIPPED)
    if shipped and path.is_relative_to(shipped):
        return f"{SHIPPED}:{path.relative_to(shipped).as_posix()}"
    if given and not Path(name).is_absolute() and (Path.cwd() / name) == path:
        return name
    relative = os.path.relpath(path)
    return str(path) if relative.startswith("..") else relative


def _inside(directory: Path, name: str) -> tuple[str, ...]:
    if (directory / "config.gin").is_file():
        return (f"did you mean {name.rstrip('/')}/config.gin?",)
    files = sorted(path.name for path in directory.glob("*.gin"))
    return (f"it holds {', '.join(files) or 'no gin file'}",)


def _advice(name: str, places: Sequence[tuple[Path | None, str]]) -> Iterator[str]:
    searched = {directory / file for directory, file in places if directory is not None}
    names = {path.name for place in searched if place.parent.is_dir() for path in place.parent.glob("*.gin")}
    wanted = Path(name.partition(":")[2] or name).name
    yield from did_you_mean(nearest(wanted if wanted.endswith(".gin") else f"{wanted}.gin", names))
    for directory, file in dict.fromkeys(places):
        if directory is None:
            yield f"the package {name.partition(':')[0] if ':' in name else SHIPPED} is not installed"
        else:
            yield f"looked for {os.path.normpath(directory / file)}"

"""The plugin registry: one decorator files a component for gin files and for plain Python.

    @register("model")
    class MyModel(nn.Module): ...          # in a gin file: @models.MyModel()

Components stay plain classes and functions. gin's own registry is only read, for what others filed there.
"""

import difflib
import functools
import importlib
import inspect
import pkgutil
import sys
from collections.abc import Callable, Iterable
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import gin

from emprot_core.errors import EmprotError
from emprot_core.kinds import KINDS

ENTRY_POINT_GROUP = "emprot.plugins"
Component = TypeVar("Component", bound=Callable[..., Any])


class Entry(NamedTuple):
    """A registered component."""

    kind: str
    name: str
    target: Callable[..., Any]

    @property
    def selector(self) -> str:
        """The full gin selector, emprot.<folder of the kind>.<name>; an object has the one it was filed under."""
        if self.kind == "object":
            return self.name
        return ".".join(filter(None, ("emprot", KINDS[self.kind].folder, self.name)))

    @property
    def short_selector(self) -> str:
        """What gin files write: <folder of the kind>.<name>."""
        return self.selector.removeprefix("emprot.")

    @property
    def origin(self) -> str:
        """Where the component is defined, as <path from the package>:<line>."""
        target = inspect.unwrap(self.target)
        path = target.__module__.replace(".", "/")
        try:
            source, line = inspect.getsourcefile(target) or "", inspect.getsourcelines(target)[1]
        except (OSError, TypeError):  # defined at a prompt or in a notebook
            return path
        return f"{path}/__init__.py:{line}" if Path(source).stem == "__init__" else f"{path}.py:{line}"


class UnknownComponent(EmprotError):
    """No component of that kind has that name."""

    page = "faults#unknown-component"


_entries: dict[tuple[str, str], Entry] = {}
_failures: dict[str, Exception] = {}
_plugins: list[str] = []
_loaded = False


def register(kind: str, name: str | None = None) -> Callable[[Component], Component]:
    """A decorator that files a class or function as a component of `kind`.

    A notebook cell that runs again replaces what it registered before.

    Raises:
        EmprotError: the kind is unknown, the name cannot stand in a gin file, or another component of that kind has it.
    """
    if not isinstance(kind, str):
        name = getattr(kind, "__name__", "MyPart")
        raise EmprotError(f"@register over {name} has no kind; write for example @register('model')")
    if kind not in KINDS:
        raise EmprotError(f"unknown kind {kind!r}, expected one of {', '.join(KINDS)}{_nearest(kind, KINDS)}")

    def file(target: Component) -> Component:
        entry = Entry(kind, name or target.__name__, target)
        if not entry.name.isidentifier():
            raise EmprotError(f"{kind} {entry.name!r} cannot be written in a gin file; use letters, digits and _")
        known = _entries.get((kind, entry.name))
        if known is not None and (known.target.__module__, target.__module__) != ("__main__", "__main__"):
            raise EmprotError(
                f"{kind} {entry.name!r} is registered twice: by {known.target.__module__} and by "
                f"{target.__module__}; give one of them another name: @register({kind!r}, 'OtherName')"
            )
        inspect.signature(target)  # ValueError now rather than in every config that might bind it
        _entries[kind, entry.name] = entry
        return target

    return file


def get(kind: str, name: str) -> Callable[..., Any]:
    """The registered class or function.

    Raises:
        UnknownComponent: there is none; the message gives the nearest name and the list.
    """
    load_plugins()
    if (kind, name) not in _entries:
        known = [entry.name for entry in entries(kind)]
        message = f"there is no {kind} {name!r}{_nearest(name, known)}; registered: {', '.join(known) or 'none'}"
        broken = "".join(f"; {module} failed to import ({error})" for module, error in _failures.items())
        raise UnknownComponent(message + broken)
    return _entries[kind, name].target


def entry_of(component: Any) -> Entry | None:
    """The entry of a component, be it the registered class or function, an instance, or a factory that binds it."""
    target = component.func if isinstance(component, functools.partial) else component
    return next((entry for entry in _entries.values() if entry.target in (target, type(target))), None)


def entries(kind: str | None = None) -> list[Entry]:
    """All components, or those of one kind, in the order of their selectors."""
    load_plugins()
    known = [*_entries.values(), *_objects_of_gin()]
    return sorted((entry for entry in known if kind in (None, entry.kind)), key=lambda entry: entry.selector)


def gin_constants() -> dict[str, Any]:
    """What was named by gin.constant and gin.constants_from_enum, by its full name."""
    return {name: value for name, value in gin.config._CONSTANTS.items() if name != "gin.REQUIRED"}


def failures() -> dict[str, Exception]:
    """Plugin modules that could not be imported, and why."""
    load_plugins()
    return dict(_failures)


def plugins() -> list[str]:
    """Names of all modules imported as plugins, by an entry point or since."""
    load_plugins()
    return list(_plugins)


def load_plugins() -> None:
    """Import every entry point of the group `emprot.plugins`, once; a package brings all its modules."""
    global _loaded
    if _loaded:
        return
    _loaded = True
    # A development checkout can be seen twice, by its metadata and by the installed one.
    points = {point.value: point.name for point in entry_points(group=ENTRY_POINT_GROUP)}
    for module in sorted(points, key=lambda module: (points[module] != "core", module)):
        import_plugin(module)


def import_plugin(module_name: str) -> list[str]:
    """Import a plugin module, or a package with all its modules, and give their names.

    Modules whose names begin with _ are left out. A failure is kept for `failures`.
    """
    imported = import_module(module_name)
    for info in pkgutil.iter_modules(getattr(sys.modules.get(module_name), "__path__", ())):
        if not info.name.startswith("_"):
            imported += import_plugin(f"{module_name}.{info.name}")
    return imported


def import_module(module_name: str) -> list[str]:
    """Import one module as a plugin and give its name, as `import_plugin` does, but nothing below it."""
    if module_name not in _plugins:
        _plugins.append(module_name)
    before = set(_entries)
    try:
        importlib.import_module(module_name)
    except Exception as error:  # a stranger's module may raise anything; --list names it
        _failures[module_name] = error
        for key in set(_entries) - before:
            if _entries[key].target.__module__ == module_name:  # half a module is no plugin
                del _entries[key]
        return []
    _failures.pop(module_name, None)
    return [module_name]


def _objects_of_gin() -> list[Entry]:
    """What modules filed by plain gin.register or gin.configurable, without gin's wrapper where it can be left out."""
    found = gin.config._REGISTRY.items()
    return [Entry("object", selector, filed.wrapped) for selector, filed in found if filed.module != "gin"]


def _nearest(name: str, known: Iterable[str]) -> str:
    close = difflib.get_close_matches(name, list(known), n=1)
    return f"; did you mean {close[0]!r}?" if close else ""

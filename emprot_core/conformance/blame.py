"""Whose error it is: an exception that left a component of a plugin is told with the frames of that plugin alone."""

import inspect
import linecache
from collections.abc import Iterator
from types import FrameType
from typing import Any

from emprot_core import registry
from emprot_core.breach import title

_OURS = ("emprot_core", "emprot_plugins")


def explain(error: BaseException) -> str | None:
    """What to tell of an exception: the component, the exception, and the lines of the plugin that it passed.

    None if it passed no component of a plugin, or if only components of EMPROT: that is a bug of ours.
    """
    frames = [(frame, line) for frame, line in _frames(error) if _is_of_plugin(frame)]
    component = next((found for frame, _ in frames if (found := _component_of(frame)) is not None), None)
    if component is None:
        return None
    lines = [f"{title(component)} raised {type(error).__name__}: {error}"]
    for frame, number in frames:
        code = frame.f_code
        lines.append(f"{code.co_filename}:{number}, in {code.co_name}")
        lines.append(f"    {linecache.getline(code.co_filename, number).strip()}")
    return "\n  ".join([*lines, *getattr(error, "__notes__", ())])


def _frames(error: BaseException) -> Iterator[tuple[FrameType, int]]:
    trace = error.__traceback__
    while trace is not None:
        yield trace.tb_frame, trace.tb_lineno
        trace = trace.tb_next


def _is_of_plugin(frame: FrameType) -> bool:
    """Whether the frame runs code of a module, or of a package, that was imported as a plugin."""
    name = str(frame.f_globals.get("__name__", ""))
    if name.partition(".")[0] in _OURS:
        return False
    return name == "__main__" or any(name == each or name.startswith(f"{each}.") for each in registry.plugins())


def _component_of(frame: FrameType) -> Any:
    """The registered component that the frame belongs to: by its self, by its code, or by its place in the module."""
    owner = frame.f_locals.get("self")
    if owner is not None and registry.entry_of(owner) is not None:
        return owner
    module = [each.target for each in registry.entries() if each.target.__module__ == frame.f_globals.get("__name__")]
    for target in module:
        try:
            lines, first = inspect.getsourcelines(target)
        except (OSError, TypeError):
            continue
        if first <= frame.f_lineno < first + len(lines):
            return target
    return owner if owner is not None else None

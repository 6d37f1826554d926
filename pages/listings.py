"""Reference pages of the command line, of the gin files, and of the names for plain Python."""

import argparse
import ast
import importlib
import inspect
import re
import sys
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from types import ModuleType
from typing import Any, is_typeddict

from emprot_core.hooks.base import EVENTS
from emprot_core.options import EXAMPLE, make_parser
from pages import GIN_CONFIGS
from pages.markdown import as_markdown, escaped

MODULES = (
    "emprot_core",
    "emprot_core.config",
    "emprot_core.training",
    "emprot_core.data.store",
    "emprot_core.evaluation.forecast_format",
    "emprot_core.batch",
    "emprot_core.contracts",
    "emprot_core.errors",
)
"""Modules whose names outside code may import."""


def command_line_page() -> str:
    """Every flag with its meaning, in the order of --help."""
    lines = ["# The command line", "", "```sh", EXAMPLE, "```", ""]
    lines += ["`Name.parameter=value` and `--gin.Name.parameter=value` override the files and `--gin_bindings`."]
    for title, actions in _groups():
        lines += ["", f"## {title}"]
        for action in actions:
            flag = _name(action)
            lines += ["", f"### {flag} {{ #{flag.strip('-')} }}", "", f"`{_usage(action, flag)}`", ""]
            lines += [_sentence(action.help or "")]
    return "\n".join(lines) + "\n"


def flags() -> list[str]:
    """Every flag by its name, such as --gin_file."""
    return [_name(action) for _, actions in _groups() for action in actions]


def gin_files_page() -> str:
    """The text of every shipped gin file."""
    lines = [
        "# The gin files",
        "",
        "Every gin file that comes with EMPROT, as it is. The [gallery](../gallery.md) shows",
    ]
    lines += ["what comes out. `emprot-run --export base.gin` writes one with every parameter of every part."]
    for path in sorted(GIN_CONFIGS.glob("*.gin")):
        lines += ["", f"## {path.name} {{ #{path.stem} }}", "", "```gin", path.read_text().rstrip(), "```"]
    return "\n".join(lines) + "\n"


def python_page() -> str:
    """The names that outside code may import, with what their docstrings say."""
    lines = ["# Names for Python", "", "What code of your own may import. Parts are on the pages of their kinds."]
    for name in MODULES:
        module = importlib.import_module(name)
        lines += ["", f"## {name} {{ #{name.replace('.', '-')} }}", ""]
        lines += as_markdown(inspect.cleandoc(module.__doc__ or "").splitlines())
        for public in public_names(module):
            lines += ["", f"### {public} {{ #{name.replace('.', '-')}-{public.lower()} }}", ""]
            lines += _described(public, getattr(module, public))
            lines += _said_of_constant(module, public)
    lines += ["", "## Events of a hook { #events }", "", "Each is a method that takes the trainer.", ""]
    lines += [f"- `{event}`" for event in EVENTS]
    return "\n".join(lines) + "\n"


def public_names(module: ModuleType) -> list[str]:
    """The names that a module lists in __all__, or else its constants, and its own classes and functions."""
    listed = getattr(module, "__all__", None)
    own = [n for n in vars(module) if n.isupper() and not n.startswith("_")]
    own += [
        n for n, v in vars(module).items() if not n.startswith("_") and getattr(v, "__module__", "") == module.__name__
    ]
    return list(listed) if listed is not None else own


def _groups() -> Iterator[tuple[str, list[argparse.Action]]]:
    titles = {"options": "Options", "instead of running": "Instead of running"}
    for group in make_parser()._action_groups:
        if group._group_actions:
            yield titles[group.title or ""], group._group_actions


def _name(action: argparse.Action) -> str:
    """The first name of a flag that is a word."""
    return next(name for name in action.option_strings if name.startswith("--"))


def _usage(action: argparse.Action, flag: str) -> str:
    if action.nargs == 0:
        return flag
    value = action.metavar or "|".join(map(str, action.choices or ("N",)))
    return f"{flag} {value}" + (" ..." if action.nargs == "+" else "")


def _sentence(text: str) -> str:
    return escaped(text[0].upper() + text[1:].rstrip(".") + ".")


def _described(name: str, value: Any) -> Iterator[str]:
    if not (inspect.isclass(value) or inspect.isroutine(value)):
        yield f"`{name} = {value!r}`" if isinstance(value, int | float | str) else f"`{name}`"
        return
    yield from ("```python", *(_fields(value) or [_signature(name, value)]), "```", "")
    yield from as_markdown((inspect.getdoc(value) or "").splitlines())
    methods = vars(value).items() if inspect.isclass(value) else ()
    for method, function in methods:
        if inspect.isfunction(function) and not method.startswith("_") and function.__doc__:
            first = inspect.cleandoc(function.__doc__).partition("\n")[0]
            yield from ("", f"- `{_signature(method, function)}`: {escaped(first)}")


def _said_of_constant(module: ModuleType, name: str) -> Iterator[str]:
    """The text below the line that defines a constant, in the module or in those that it gathers."""
    for path, gathered in sorted(sys.modules.items()):
        if (path == module.__name__ or path.startswith(f"{module.__name__}.")) and name in vars(gathered):
            for line, text in pairwise(ast.parse(Path(str(gathered.__file__)).read_text()).body):
                if isinstance(line, ast.Assign) and ast.unparse(line.targets[0]) == name:
                    if isinstance(text, ast.Expr) and isinstance(text.value, ast.Constant):
                        yield from ("", escaped(str(text.value.value)))
                    return


def _fields(value: Any) -> list[str]:
    """The fields of a record or a contract and how it is called, with their comments, as its source has them."""
    if not (is_typeddict(value) or hasattr(value, "_fields") or getattr(value, "_is_protocol", False)):
        return []
    lines = list(_lines_of_fields(value))
    return [f"class {value.__name__}{':' if lines else ''}", *lines]


def _lines_of_fields(value: Any) -> Iterator[str]:
    source = inspect.getsource(value)
    (defined,) = ast.parse(source).body
    assert isinstance(defined, ast.ClassDef)
    for base in defined.bases:  # a TypedDict forgets its own
        found = getattr(sys.modules[value.__module__], base.id, None) if isinstance(base, ast.Name) else None
        if getattr(found, "__module__", "") == value.__module__:
            yield from _lines_of_fields(found)
    for node in defined.body:
        if isinstance(node, ast.AnnAssign) or getattr(node, "name", "") == "__call__":
            yield from source.splitlines()[node.lineno - 1 : node.end_lineno]


def _signature(name: str, value: Any) -> str:
    try:
        signature = re.sub(r"~|\b[a-z_]\w*\.(?=\w)", "", str(inspect.signature(value)))  # names without their modules
    except ValueError:  # a Protocol or a TypedDict has none that tells something
        signature = ""
    return f"{'class ' if inspect.isclass(value) else ''}{name}{signature}"

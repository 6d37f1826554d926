"""A component, or a whole config, as a commented gin file that a file of one's own can start from: --export."""

import re
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from emprot_core import registry
from emprot_core.config.describe import docstring, find
from emprot_core.config.faults import WIDTH, Faults, Location
from emprot_core.config.loading import Config
from emprot_core.config.names import Names
from emprot_core.config.signature import EMPTY, Parameter, annotation_text, bindable, default_text
from emprot_core.config.snapshot import assignment, is_literal
from emprot_core.config.statements import Binding
from emprot_core.config.syntax import comment_of
from emprot_core.config.types import takers
from emprot_core.config.values import REQUIRED, Macro, use_of
from emprot_core.kinds import contract_kind
from emprot_core.registry import Entry

_HEADER = "# A line #name = value is a default: remove its # to set another. A value %gin.REQUIRED is yours to give.\n"


def export_component(name: str, modules: Sequence[str] = ()) -> str:
    """Every parameter of a component, and of the components that it cannot do without.

    Args:
        modules: plugins that the file imports.

    Raises:
        ConfigError: the name is unknown or ambiguous.
    """
    names = Names(registry.entries(), Faults())
    entry = find(name, names, "--export")
    blocks, waiting = [], [entry]
    while waiting:
        one = waiting.pop(0)
        blocks.append("\n".join(_block(one, {}, names)))
        waiting += [needed for p in bindable(one).values() if p.required and (needed := names.filed_as(p.annotation))]
    head = f"# {entry.short_selector} and its parameters, to be read after another file that is to use it:\n"
    head += "#   emprot-run --gin_file=base.gin --gin_file=THIS_FILE\n" + _HEADER
    return "\n".join([head, *(f"import {module}\n" for module in modules), _use(entry, names), "\n\n".join(blocks)])


def export_config(config: Config) -> str:
    """The config as one file that gives the same, with every parameter of every component that it builds."""
    tree = config.tree
    macros = tree.needed_macros(tree.reachable)
    blocks = ["\n".join(f"import {module}" for module in config.modules), "\n".join(map(_line, macros))]
    for entry, bindings in tree.by_component().items():
        bound: dict[str, list[Binding]] = {}
        for binding in bindings:
            bound.setdefault(binding.parameter, []).append(binding)
        blocks.append("\n".join(_block(entry, bound, tree.names)))
    head = f"# {', '.join(config.files)} as one file, with every parameter of everything that is built:\n"
    head += "#   emprot-run --gin_file=THIS_FILE\n" + _HEADER
    return "\n".join([head, "\n\n".join(filter(None, blocks))])


def _block(entry: Entry, bound: Mapping[str, Sequence[Binding]], names: Names) -> Iterator[str]:
    text = docstring(entry)
    yield from _comment(f"{entry.short_selector} ({entry.kind}, {entry.origin}): {text[0]}", "# ")
    about = _parameter_texts(text)
    for parameter in bindable(entry).values():
        written = _written(parameter, names) if parameter.name not in bound else ""
        facts = [annotation_text(parameter.annotation)] if parameter.annotation is not EMPTY else []
        facts += ["required"] * parameter.required
        facts += [f"default {default_text(parameter.default)}"] * (not parameter.required and not written)
        facts += _choices(parameter, names) if parameter.required and parameter.name not in bound else []
        yield from _comment(": ".join(filter(None, (", ".join(facts), about.get(parameter.name)))), "# ")
        yield from map(_line, bound.get(parameter.name, ()))
        if written:
            line = assignment(f"{entry.short_selector}.{parameter.name}", written[0])
            yield line if parameter.required else textwrap.indent(line, "#")


def _written(parameter: Parameter, names: Names) -> tuple[Any, ...]:
    """The value to write for a parameter that is not bound; nothing for a default that gin cannot write."""
    if parameter.required:
        only = names.filed_as(parameter.annotation)
        return (use_of(only),) if only else (Macro(REQUIRED, Location("")),)
    entry = names.filed_as(parameter.default)
    if entry:
        return (replace(use_of(entry), call=False),)
    return (parameter.default,) if is_literal(parameter.default) else ()


def _choices(parameter: Parameter, names: Names) -> list[str]:
    kind = contract_kind(parameter.annotation)
    known = names.references(kind) if kind else []
    return [f"one of {' '.join(known)}"] if known else []


def _use(entry: Entry, names: Names) -> str:
    """The statement that puts the component to use; a comment where it would displace others from a list."""
    others = [other for other in names.entries.values() if other is not entry]
    others.sort(key=lambda other: (other.kind not in ("core", "job"), other.selector))
    reference = use_of(entry)
    for name, in_list in takers(entry, others):
        return f"# used as {name} = [..., {reference}]\n" if in_list else f"{name} = {reference}\n"
    return ""


def _line(binding: Binding) -> str:
    """The statement, with the comment that stood behind it."""
    line, comment = assignment(str(binding), binding.value), comment_of(binding.location.text)
    return f"{line}  {comment}" if comment and "\n" not in line else line


def _comment(text: str, prefix: str) -> list[str]:
    return textwrap.wrap(text, WIDTH, initial_indent=prefix, subsequent_indent=f"{prefix}  ", break_on_hyphens=False)


def _parameter_texts(text: Sequence[str]) -> dict[str, str]:
    """What a docstring says of each parameter, under Args or Attributes."""
    found: dict[str, str] = {}
    section = ""
    current: list[str] = []
    for line in text:
        if line and not line.startswith(" "):
            section, current = line.strip(), []
        entry = re.match(r"    (\w+(?:, \w+)*)(?: \(.*\))?: (.*)", line)
        if section not in ("Args:", "Attributes:") or not line.strip():
            continue
        if entry:
            current = entry[1].split(", ")
            found |= dict.fromkeys(current, entry[2])
        else:
            found |= {name: f"{found[name]} {line.strip()}" for name in current}
    return found

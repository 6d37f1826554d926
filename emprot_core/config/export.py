"""--export: a component, or a whole config, as a commented gin file to start a file of one's own from."""

import textwrap
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from emprot_core import registry
from emprot_core.config.configuration import Config
from emprot_core.config.describe import find
from emprot_core.config.docstrings import docstring, meanings
from emprot_core.config.faults import WIDTH, Faults, Location
from emprot_core.config.names import Names
from emprot_core.config.signature import EMPTY, Parameter, annotation_text, bindable, default_text
from emprot_core.config.statements import Binding
from emprot_core.config.syntax import comment_of
from emprot_core.config.types import takers
from emprot_core.config.values import REQUIRED, Macro, assignment, is_literal, use_of
from emprot_core.kinds import contract_kind
from emprot_core.registry import Entry

_HEADER = "# A line #name = value is a default: remove its # to set another. A value %gin.REQUIRED is yours to give.\n"


def export_component(name: str, modules: Sequence[str] = ()) -> str:
    """A gin file with every parameter of a component, and of the components that it cannot do without.

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
    """One gin file that gives the same config, with every parameter of every component that is built."""
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
    """The lines for a component: for each parameter a comment and, if it can be written, a statement."""
    about = meanings(entry)
    yield from _comment(f"{entry.short_selector} ({entry.kind}, {entry.origin}): {docstring(entry)[0]}")
    for parameter in bindable(entry).values():
        bindings = bound.get(parameter.name, ())
        unbound = "" if bindings else _unbound(parameter, entry, names)
        facts = [annotation_text(parameter.annotation)] if parameter.annotation is not EMPTY else []
        if parameter.required:
            facts += ["required"] if bindings else ["required", *_choices(parameter, names)]
        elif not unbound:
            facts.append(f"default {default_text(parameter.default)}")
        yield from _comment(": ".join(filter(None, (", ".join(facts), about.get(parameter.name)))))
        yield from map(_line, bindings)
        if unbound:
            yield unbound


def _unbound(parameter: Parameter, entry: Entry, names: Names) -> str:
    """The statement for a parameter that is not bound. A default stands in a comment.

    Empty for a default that gin cannot write.
    """
    name = f"{entry.short_selector}.{parameter.name}"
    component = names.filed_as(parameter.annotation if parameter.required else parameter.default)
    if parameter.required:
        return assignment(name, use_of(component) if component else Macro(REQUIRED, Location("")))
    if component:
        return f"#{assignment(name, replace(use_of(component), call=False))}"
    return textwrap.indent(assignment(name, parameter.default), "#") if is_literal(parameter.default) else ""


def _choices(parameter: Parameter, names: Names) -> list[str]:
    kind = contract_kind(parameter.annotation)
    known = names.references(kind) if kind else []
    return [f"one of {' '.join(known)}"] if known else []


def _use(entry: Entry, names: Names) -> str:
    """The statement that puts the component to use. It is a comment where it would displace others from a list."""
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


def _comment(text: str) -> list[str]:
    return textwrap.wrap(text, WIDTH, initial_indent="# ", subsequent_indent="#   ", break_on_hyphens=False)

"""Texts for the command line: --list and --describe, --print_config, and --check --untrusted."""

import inspect
import textwrap
from collections.abc import Iterator

from emprot_core import registry
from emprot_core.config.configuration import Config
from emprot_core.config.docstrings import meanings, prose
from emprot_core.config.faults import WIDTH, ConfigError, Fault, Faults, Location, did_you_mean, nearest
from emprot_core.config.files import read_shipped_only
from emprot_core.config.names import Names
from emprot_core.config.signature import parameters, reference_text
from emprot_core.config.statements import Binding
from emprot_core.config.tree import Tree
from emprot_core.config.values import Reference, as_text, assignment, leaves
from emprot_core.kinds import KINDS
from emprot_core.registry import Entry

_DEEP = "      "  # before what a parameter means


def list_components(kind: str = "") -> str:
    """The components of one kind, or of all kinds, each with the first line of its docstring.

    Plugins that could not be imported follow. A kind is given by its name or by the name of its folder.

    Raises:
        ConfigError: there is no such kind.
    """
    by_name = {kind.folder: one for one, kind in KINDS.items() if kind.folder} | {one: one for one in KINDS}
    if kind and kind not in by_name:
        help = (*did_you_mean(nearest(kind, by_name)), f"kinds: {', '.join(KINDS)}")
        raise ConfigError([Fault("unknown-component", f"there is no kind {kind!r}", Location("--list"), help)])
    lines = []
    for one in [by_name[kind]] if kind else KINDS:
        entries = registry.entries(one)
        if one == "object" and not entries:
            continue
        lines.append(f"{one}: bound as {reference_text(one)}" if one != "core" else "bound by their names")
        width = max((len(entry.name) for entry in entries), default=0)
        lines += [f"  {entry.name:{width}}  {_first_line(entry)}".rstrip() for entry in entries] or ["  (none)"]
    failures = registry.failures()
    if failures:
        lines.append("plugins that failed to import")
        lines += [f"  {module}: {type(error).__name__}: {error}" for module, error in failures.items()]
    return "\n".join(lines)


def describe(name: str) -> str:
    """The docstring of a component, its parameters with types and defaults, and where it is defined.

    Raises:
        ConfigError: the name is unknown or ambiguous.
    """
    entry = find(name, Names(registry.entries(), Faults()), "--describe")
    known = parameters(entry).values()
    late = [str(p) for p in known if p.late]
    lines = [f"{entry.short_selector} ({entry.kind}), bound as {reference_text(entry.kind, entry.name)}"]
    lines += [f"defined at {entry.origin}", "", *prose(entry), ""]
    lines += ["parameters" if len(late) < len(known) else "no parameter can be bound"]
    about = meanings(entry)
    for parameter in (p for p in known if not p.late):
        lines.append(f"  {parameter}" + "  (required)" * parameter.required)
        lines += textwrap.wrap(about.get(parameter.name, ""), WIDTH, initial_indent=_DEEP, subsequent_indent=_DEEP)
    if late:
        lines += [f"given by the framework when it calls the {entry.kind}", *(f"  {text}" for text in late)]
    return "\n".join(lines)


def find(name: str, names: Names, option: str) -> Entry:
    """The component of that name.

    Raises:
        ConfigError: the name that `option` gives is unknown or ambiguous.
    """
    entry = names.find(name, Location(option))
    if entry is None:
        raise ConfigError(names.faults)
    return entry


def print_config(config: Config) -> str:
    """Every effective binding, with the place that gave it. What was displaced follows in comments."""
    tree = config.tree
    macros = [binding for name, binding in tree.macros.items() if name in tree.used_macros]
    counts = {binding.key for binding in tree.reachable}
    displaced = [b for b in tree.effective.values() if not b.is_macro and b.key not in counts]
    lines = [*_placed(macros, tree), "", *_placed(tree.reachable, tree)]
    if displaced:
        lines += ["", "# not built: a later statement chose another component"]
        lines += [f"# {line}" for line in _placed(displaced, tree)]
    return "\n".join(lines).strip("\n")


def tell_what_it_would_do(file: str) -> str:
    """What a stranger's gin file would include, import and call, each with its place.

    Nothing is imported, built or written. Of the files that it includes, only shipped ones are read.

    Raises:
        ConfigError: the file is missing, or cannot be read as gin.
    """
    source = read_shipped_only(file)
    if source.faults:
        raise ConfigError(source.faults)
    names = Names(registry.entries(), source.faults)
    called: dict[str, str] = {}
    for binding in source.bindings:
        for leaf in leaves(binding.value):
            if isinstance(leaf, Reference):
                entry = names.one(leaf.name)
                known = entry.origin if entry else "NOT REGISTERED HERE: an import would have to bring it"
                called.setdefault(str(leaf), f"{known}  ({leaf.location})")
    called = dict(sorted(called.items(), key=lambda item: not item[1].startswith("NOT")))  # unknown ones first
    sections = {
        "it would import, and so run, these modules": [f"{i.module}  ({i.location})" for i in source.imports],
        "it would include these files, which were not read": [f"{i.filename}  ({i.location})" for i in source.left_out],
        "it refers to these components": [f"{name}  {where}" for name, where in called.items()],
    }
    lines = [f"{', '.join(source.files)}: read only; nothing was imported, built or written"]
    for title, items in sections.items():
        lines += [f"{title}:" if items else f"{title}: none", *(f"  {item}" for item in items)]
    return "\n".join(lines)


def _placed(effective: list[Binding], tree: Tree) -> Iterator[str]:
    """The bindings, each with its location, and below it the statements that it displaces."""
    texts = [assignment(str(binding), binding.value).splitlines() for binding in effective]
    width = min(60, max((len(text[0]) for text in texts), default=0))
    for binding, (first, *rest) in zip(effective, texts, strict=True):
        yield f"{first:{width}}  # {binding.location}"
        yield from rest
        for other in tree.statements:
            if other.key == binding.key and other is not binding:
                yield f"#   displaces {as_text(other.value)}  ({other.location})"


def _first_line(entry: Entry) -> str:
    return inspect.cleandoc(entry.target.__doc__ or "").partition("\n")[0]

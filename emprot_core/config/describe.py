"""What there is to configure, and what a config says, as text: --list, --describe and --print_config."""

import inspect
from collections.abc import Iterator

from emprot_core import registry
from emprot_core.config.faults import ConfigError, Fault, Faults, Location, did_you_mean, nearest
from emprot_core.config.loading import Config
from emprot_core.config.names import Names
from emprot_core.config.signature import parameters, reference_text
from emprot_core.config.snapshot import assignment
from emprot_core.config.statements import Binding
from emprot_core.config.tree import Tree
from emprot_core.config.values import as_text
from emprot_core.kinds import KINDS
from emprot_core.registry import Entry


def list_components(kind: str = "") -> str:
    """The components of one kind, or of all, with the first line of their docstrings; then plugins that failed.

    Raises:
        ConfigError: there is no such kind. (The name of its folder will do as well.)
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
    """Docstring, parameters with types and defaults, and the place of a component.

    Raises:
        ConfigError: the name is unknown or ambiguous.
    """
    entry = find(name, Names(registry.entries(), Faults()), "--describe")
    known = parameters(entry).values()
    late = [str(p) for p in known if p.late]
    lines = [f"{entry.short_selector} ({entry.kind}), bound as {reference_text(entry.kind, entry.name)}"]
    lines += [f"defined at {entry.origin}", "", *docstring(entry), ""]
    lines += ["parameters" if len(late) < len(known) else "no parameter can be bound"]
    lines += [f"  {p}" + "  (required)" * p.required for p in known if not p.late]
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


def docstring(entry: Entry) -> list[str]:
    """The component's own docstring and that of its __init__; inherited ones tell of something else."""
    constructor = vars(entry.target).get("__init__")
    texts = [entry.target.__doc__, constructor.__doc__ if constructor else None]
    known = [inspect.cleandoc(text) for text in texts if text]
    return "\n\n".join(known or ["(no docstring)"]).splitlines()


def print_config(config: Config) -> str:
    """Every effective binding with the place that gave it; what later statements displaced stands as comments."""
    tree = config.tree
    macros = [binding for name, binding in tree.macros.items() if name in tree.used_macros]
    counts = {binding.key for binding in tree.reachable}
    displaced = [b for b in tree.effective.values() if not b.is_macro and b.key not in counts]
    lines = [*_placed(macros, tree), "", *_placed(tree.reachable, tree)]
    if displaced:
        lines += ["", "# not built: a later statement chose another component"]
        lines += [f"# {line}" for line in _placed(displaced, tree)]
    return "\n".join(lines).strip("\n")


def _placed(effective: list[Binding], tree: Tree) -> Iterator[str]:
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

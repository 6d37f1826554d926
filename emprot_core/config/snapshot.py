"""A config as text that can be fed back, as a digest, and as flat names and values to compare and to log."""

import hashlib
from collections.abc import Collection, Iterable, Iterator, Sequence
from typing import Any

from emprot_core.config.bindings import ROOT, Bindings, Node, Scope
from emprot_core.config.signature import bindable
from emprot_core.config.statements import Binding
from emprot_core.config.values import Macro, Reference, as_text, leaves

NOT_RESULT = ("run.directory", "run.device", "run.allow_config_change")
"""Parameters that do not change what a run computes: neither in the digest nor in a difference."""

MAX_LINE = 100


def reachable(bindings: Bindings) -> list[Binding]:
    """The effective bindings of everything that is built, in the order of the statements."""
    used = {binding.key for node in bindings.built for binding in bindings.of(node).values()}
    return [binding for key, binding in bindings.effective.items() if key in used]


def text(bindings: Bindings, modules: Sequence[str]) -> str:
    """One flat gin text that gives the same config: full selectors, macros kept, without run.directory."""
    kept = [binding for binding in reachable(bindings) if str(binding) != "run.directory"]
    macros = needed_macros(kept, bindings)
    lines = [f"import {module}" for module in modules]
    lines += ["", *(assignment(name, bindings.effective["", "", name].value, full=True) for name in macros)]
    group = None
    for binding in sorted(kept, key=lambda b: _order(b, bindings)):
        if (binding.scope, binding.selector) != group:
            group = binding.scope, binding.selector
            lines.append("")
        lines.append(assignment(_name(*binding.key), binding.value, full=True))
    return "\n".join(lines).strip("\n") + "\n"


def operative_text(bindings: Bindings, built: Iterable[Node]) -> str:
    """Every parameter of every component that was built, defaults included; those gin cannot write as comments."""
    return "\n".join("\n".join(_operative_block(node, bindings)) for node in built)


def digest(bindings: Bindings) -> str:
    """SHA-256 of what would be built: the tree of components with their bound values. How it is written (macros,
    scopes, the order of statements) does not count, nor do the parameters in `NOT_RESULT`."""
    return hashlib.sha256(_canonical(Node(ROOT, ()), bindings, NOT_RESULT).encode()).hexdigest()


def flat(bindings: Bindings) -> dict[str, str]:
    """`component.parameter` -> value as text, macros inlined, of everything that is built."""
    return {str(binding): as_text(bindings.inlined(binding.value)) for binding in reachable(bindings)}


def difference(old: Bindings, new: Bindings) -> list[str]:
    """What changes from `old` to `new`, a line each."""
    before, after = flat(old), flat(new)
    lines = []
    for key in sorted((before.keys() | after.keys()) - set(NOT_RESULT)):
        if key not in after:
            lines.append(f"{key}: {before[key]} -> not bound")
        elif before.get(key) != after[key]:
            lines.append(f"{key}: {before.get(key, 'not bound')} -> {after[key]}")
    return lines


def assignment(name: str, value: Any, full: bool = False) -> str:
    """`name = value` as gin text, long lists with an item a line; `full`: references have full selectors."""
    selector = (lambda name: name) if full else (lambda name: name.removeprefix("emprot."))
    line = f"{name} = {as_text(value, selector)}"
    if len(line) <= MAX_LINE or not isinstance(value, list | tuple):
        return line
    opening, closing = "[]" if isinstance(value, list) else "()"
    items = "".join(f"    {as_text(item, selector)},\n" for item in value)
    return f"{name} = {opening}\n{items}{closing}"


def is_literal(value: Any) -> bool:
    """Whether gin can write and read the value; nan it cannot."""
    return all(leaf is None or (type(leaf) in (bool, int, float, str) and leaf == leaf) for leaf in leaves(value))


def needed_macros(kept: Iterable[Binding], bindings: Bindings) -> list[str]:
    """Names of the macros that these bindings need, in the order of their statements."""
    needed: set[str] = set()
    waiting = [binding.value for binding in kept]
    while waiting:
        names = {leaf.name for leaf in leaves(waiting.pop()) if isinstance(leaf, Macro)} - needed
        needed |= names
        waiting += [bindings.effective["", "", name].value for name in names]
    return [key[2] for key, binding in bindings.effective.items() if binding.is_macro and key[2] in needed]


def _name(scope: str, selector: str, parameter: str) -> str:
    return f"{scope}/{selector}.{parameter}" if scope else f"{selector}.{parameter}"


def _order(binding: Binding, bindings: Bindings) -> tuple[int, str, int]:
    """Components in the order of building, parameters in that of the signature."""
    selectors = [node.selector for node in bindings.built]
    names = list(bindable(bindings.entries[binding.selector]))
    return selectors.index(binding.selector), binding.scope, names.index(binding.parameter)


def _operative_block(node: Node, bindings: Bindings) -> Iterator[str]:
    bound = bindings.of(node)
    for name, parameter in bindable(bindings.entries[node.selector]).items():
        value = bindings.inlined(bound[name].value) if name in bound else parameter.default
        line = assignment(_name("/".join(node.scope), node.selector, name), value, full=True)
        yield line if name in bound or is_literal(value) else f"# {line}"
    yield ""


def _canonical(node: Node, bindings: Bindings, without: Collection[str] = ()) -> str:
    component = node.selector.removeprefix("emprot.")
    bound = bindings.of(node)
    arguments = [
        f"{name}={_canonical_value(bound[name].value, node.scope, bindings)}"
        for name in sorted(bound)
        if f"{component}.{name}" not in without
    ]
    return f"{node.selector}({', '.join(arguments)})"


def _canonical_value(value: Any, scope: Scope, bindings: Bindings) -> str:
    if isinstance(value, Macro):
        definition = bindings.effective["", "", value.name]
        return _canonical_value(definition.value, value.scope, bindings)
    if isinstance(value, Reference):
        return f"@{'()' * value.call}" + _canonical(Node(value.name, value.scopes or scope), bindings)
    if isinstance(value, dict):
        items = (_canonical_value(item, scope, bindings) for pair in value.items() for item in pair)
        return "{" + ", ".join(items) + "}"
    if isinstance(value, list | tuple):
        return type(value).__name__ + "(" + ", ".join(_canonical_value(item, scope, bindings) for item in value) + ")"
    return as_text(value)

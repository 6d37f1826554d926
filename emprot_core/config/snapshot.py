"""A config as text that can be fed back, as a digest, and as flat names and values to compare and to log."""

import hashlib
from collections.abc import Collection, Iterable, Iterator, Sequence
from typing import Any

from emprot_core.config.signature import bindable
from emprot_core.config.tree import Component, Tree
from emprot_core.config.values import Use, as_text, leaves

NOT_RESULT = ("run.directory", "run.device", "run.allow_config_change")
"""Parameters that do not change what a run computes. They count neither in the digest nor in a difference."""

MAX_LINE = 100


def text(tree: Tree, modules: Sequence[str]) -> str:
    """One flat gin text that gives the same config: full selectors, macros kept, without run.directory."""
    ordered = (binding for bindings in tree.by_component().values() for binding in bindings)
    kept = [binding for binding in ordered if str(binding) != "run.directory"]
    lines = [f"import {module}" for module in modules]
    lines += ["", *(assignment(macro.parameter, macro.value, full=True) for macro in tree.needed_macros(kept))]
    holder = None
    for binding in kept:
        if binding.holder != holder:
            holder = binding.holder
            lines.append("")
        lines.append(assignment(_name(*binding.key), binding.value, full=True))
    return "\n".join(lines).strip("\n") + "\n"


def operative_text(built: Iterable[Component]) -> str:
    """Every parameter of every component that was built, defaults included; those gin cannot write as comments."""
    return "\n".join("\n".join(_operative_block(component)) for component in built)


def digest(tree: Tree) -> str:
    """SHA-256 of what would be built: the tree of components with their bound values.

    How it is written (macros, scopes, the order of statements) does not count, nor do the parameters in `NOT_RESULT`.
    """
    root = next(iter(tree.built))
    return hashlib.sha256(_canonical(root, NOT_RESULT).encode()).hexdigest()


def flat(tree: Tree) -> dict[str, str]:
    """`component.parameter` -> value as text, macros inlined, of everything that would be built."""
    return {str(binding): as_text(binding.meaning) for binding in tree.reachable}


def difference(old: Tree, new: Tree) -> list[str]:
    """What changes from `old` to `new`, a line each."""
    before, after = flat(old), flat(new)
    lines = []
    for key in sorted((before.keys() | after.keys()) - set(NOT_RESULT)):
        was, becomes = before.get(key, "not bound"), after.get(key, "not bound")
        if was != becomes:
            lines.append(f"{key}: {was} -> {becomes}")
    return lines


def assignment(name: str, value: Any, full: bool = False) -> str:
    """`name = value` as gin text, long lists with an item a line. With `full`, references have full selectors."""
    line = f"{name} = {as_text(value, full)}"
    if len(line) <= MAX_LINE or not isinstance(value, list | tuple):
        return line
    opening, closing = "[]" if isinstance(value, list) else "()"
    items = "".join(f"    {as_text(item, full)},\n" for item in value)
    return f"{name} = {opening}\n{items}{closing}"


def is_literal(value: Any) -> bool:
    """Whether gin can write and read the value; nan it cannot."""
    return all(leaf is None or (type(leaf) in (bool, int, float, str) and leaf == leaf) for leaf in leaves(value))


def _name(scope: str, selector: str, parameter: str) -> str:
    return f"{scope}/{selector}.{parameter}" if scope else f"{selector}.{parameter}"


def _operative_block(component: Component) -> Iterator[str]:
    for name, parameter in bindable(component.entry).items():
        binding = component.bound.get(name)
        value = binding.meaning if binding else parameter.default
        line = assignment(_name("/".join(component.scope), component.entry.selector, name), value, full=True)
        yield line if binding or is_literal(value) else f"# {line}"
    yield ""


def _canonical(component: Component, without: Collection[str] = ()) -> str:
    name = component.entry.short_selector
    arguments = [
        f"{parameter}={_canonical_value(binding.meaning, component)}"
        for parameter, binding in sorted(component.bound.items())
        if f"{name}.{parameter}" not in without
    ]
    return f"{component.entry.selector}({', '.join(arguments)})"


def _canonical_value(value: Any, holder: Component) -> str:
    if isinstance(value, Use):
        return f"@{'()' * value.call}" + _canonical(holder.child(value))
    if isinstance(value, dict):
        items = (_canonical_value(item, holder) for pair in value.items() for item in pair)
        return "{" + ", ".join(items) + "}"
    if isinstance(value, list | tuple):
        return type(value).__name__ + "(" + ", ".join(_canonical_value(item, holder) for item in value) + ")"
    return as_text(value)

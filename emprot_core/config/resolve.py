"""Every name of every statement resolved to a registered component, or a fault that says what it may have meant."""

from collections.abc import Sequence
from dataclasses import replace as changed
from typing import Any

from emprot_core.config.faults import Fault, did_you_mean, nearest
from emprot_core.config.names import Names
from emprot_core.config.signature import accepted, bindable, parameters
from emprot_core.config.statements import Binding
from emprot_core.config.values import UNREADABLE, Reference, replace
from emprot_core.registry import FACTORY_KINDS, Entry


def resolve(statements: Sequence[Binding], names: Names) -> tuple[list[Binding], list[Fault]]:
    """The bindings with full selectors, and what is wrong with names. A binding of nothing known is left out."""
    resolver = _Resolver(names)
    resolved = [binding for statement in statements if (binding := resolver.binding(statement))]
    return resolved, resolver.faults + _duplicates(resolved)


class _Resolver:
    def __init__(self, names: Names):
        self.faults: list[Fault] = []
        self._names = names
        self._reported: set[tuple[str, str]] = set()

    def binding(self, statement: Binding) -> Binding | None:
        value = replace(statement.value, self._leaf)
        if statement.is_macro:
            return changed(statement, value=value)
        found = self._names.matches(statement.selector)
        if len(found) != 1:
            self._unknown_holder(statement)
            return None
        resolved = changed(statement, selector=found[0].selector, value=value)
        fault = _parameter_fault(resolved, found[0], self._names)
        if fault:
            self.faults.append(fault)
        return resolved

    def _leaf(self, leaf: Any) -> Any:
        if not isinstance(leaf, Reference):
            return leaf
        found = self._names.matches(leaf.name)
        if len(found) == 1:
            return changed(leaf, name=found[0].selector)
        self.faults.append(self._names.fault(leaf.name, leaf.location, str(leaf)))
        return UNREADABLE

    def _unknown_holder(self, statement: Binding) -> None:
        whole = f"{statement.selector}.{statement.parameter}"
        if len(self._names.matches(whole)) == 1:
            message = f"{whole} is a component; a value is bound to one of its parameters"
            self.faults.append(Fault("bare-name", message, statement.location, (f"{whole}.parameter = ...",)))
        elif (statement.selector, statement.location.file) not in self._reported:  # once, not for each parameter
            self._reported.add((statement.selector, statement.location.file))
            self.faults.append(self._names.fault(statement.selector, statement.location, statement.selector))


def _parameter_fault(binding: Binding, entry: Entry, names: Names) -> Fault | None:
    """An unknown parameter, or one that only the framework gives."""
    known = parameters(entry)
    name, component = binding.parameter, entry.short_selector
    if name not in known:
        message = f"{component} has no parameter {name!r}"
        help = _parameter_advice(name, entry, names)
        return Fault("unknown-parameter", message, binding.location, help)
    if known[name].late:
        arguments = ", ".join(FACTORY_KINDS[entry.kind])
        message = f"{component}.{name} cannot be bound: the framework calls each {entry.kind} with {arguments}"
        return Fault("late-parameter", message, binding.location, (f"accepted: {accepted(entry)}",))
    return None


def _parameter_advice(name: str, entry: Entry, names: Names) -> tuple[str, ...]:
    component = entry.short_selector
    close = [f"{component}.{parameter}" for parameter in nearest(name, bindable(entry))]
    lines = did_you_mean(close or names.with_parameter(name)[:3])
    return (*lines, f"accepted: {accepted(entry)}", f"defined at {entry.origin}")


def _duplicates(bindings: Sequence[Binding]) -> list[Fault]:
    """The same parameter bound at two lines of one file, or in a file and then in one that it includes below."""
    faults = []
    by_key: dict[tuple[str, str, str], list[Binding]] = {}
    for binding in bindings:
        for earlier in by_key.setdefault(binding.key, []):
            same_file = earlier.location.file == binding.location.file
            if same_file and earlier.location.line < binding.location.line:
                message = f"{binding} is bound twice in one file: first in line {earlier.location.line}"
                faults.append(Fault("duplicate", message, binding.location, ("keep one of them",)))
            elif not same_file and _includes_below(earlier, binding):
                message = f"{earlier} has no effect: {binding.location}, which is included below, binds it again"
                faults.append(Fault("duplicate", message, earlier.location, ("move it below the include",)))
        by_key[binding.key].append(binding)
    return list(dict.fromkeys(faults))  # a file that is included twice has its faults once


def _includes_below(earlier: Binding, later: Binding) -> bool:
    depth = len(earlier.included)
    inner = later.included[depth : depth + 1]
    return later.included[:depth] == earlier.included and bool(inner) and inner[0].file == earlier.location.file

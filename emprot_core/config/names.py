"""Every name of every statement resolved to a registered component by gin's rule (any ending of the full selector that
fits one alone), or a fault that says what it may have meant."""

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import replace as changed
from typing import Any, NamedTuple

from gin.selector_map import SelectorMap

from emprot_core import registry
from emprot_core.config.faults import COMMAND_LINE, MAX_SHOWN, Fault, Location, did_you_mean, nearest
from emprot_core.config.signature import Parameter, accepted, bindable, parameters, reference_text
from emprot_core.config.statements import Binding
from emprot_core.config.types import is_number, takes_words
from emprot_core.config.values import UNREADABLE, Constant, Macro, Reference, Unreadable, replace
from emprot_core.kinds import KINDS
from emprot_core.registry import Entry


class Names:
    """The components that a config may name."""

    def __init__(self, entries: Iterable[Entry], told: Collection[str] = ()):
        """`told`: plugin modules whose failed import the report names elsewhere."""
        self.entries = {entry.selector: entry for entry in entries}
        self._told = told
        self._map = SelectorMap()
        for selector in self.entries:
            self._map[selector] = selector

    def matches(self, name: str) -> list[Entry]:
        """The components that a name may mean: one if all is well."""
        if f"emprot.{name}" in self.entries:  # exact, whatever a plugin adds elsewhere
            return [self.entries[f"emprot.{name}"]]
        return [self.entries[selector] for selector in sorted(self._map.matching_selectors(name))]

    def constant(self, name: str) -> Constant | None:
        """The constant of gin that %name stands for: its full name, or an ending of it that fits no other."""
        known = registry.gin_constants()
        found = [each for each in known if each == name] or [each for each in known if each.endswith(f".{name}")]
        return Constant(found[0], known[found[0]]) if len(found) == 1 else None

    def fault(self, name: str, location: Location, written: str, advises: bool = True) -> Fault:
        """Why `matches` did not give one component; `written` is the name as the statement has it.

        `advises`: whether to look for similar names, which takes time.
        """
        found = self.matches(name)
        if found:
            choices = ", ".join(entry.short_selector for entry in found)
            return Fault("ambiguous", f"{written} may be any of {choices}", location, ("write one of these",))
        advice = tuple(self._advice(name)) if advises else ()
        return Fault("unknown-component", f"no component {written} is registered", location, advice)

    def with_parameter(self, parameter: str) -> list[str]:
        """`component.parameter` of every component that has it."""
        return [
            f"{entry.short_selector}.{parameter}" for entry in self.entries.values() if parameter in parameters(entry)
        ]

    def _advice(self, name: str) -> Iterator[str]:
        short = {entry.short_selector: entry.name for entry in self.entries.values()}
        folder, _, last = name.rpartition(".")
        same = [selector for selector, known in short.items() if known.lower() == last.lower()]
        beside = [known for selector, known in short.items() if folder and selector == f"{folder}.{known}"]
        close = [f"{folder}.{known}" for known in nearest(last, beside)] or nearest(name, short)
        alike = nearest(last, short.values())
        similar = [selector for selector, known in short.items() if known in alike]
        yield from did_you_mean(same or close or similar)
        if beside:
            yield f"{folder} has {', '.join(beside)}"
        for module, error in registry.failures().items():
            why = "" if module in self._told else f": {type(error).__name__}: {error}"
            yield f"perhaps of the plugin {module}, which failed to import{why}"


class Resolved(NamedTuple):
    """Bindings with full selectors, and what is wrong with names and values."""

    bindings: list[Binding]
    faults: list[Fault]


def resolve(statements: Sequence[Binding], names: Names) -> Resolved:
    """Resolve all names. A binding of nothing known is left out."""
    resolver = _Resolver(statements, names)
    resolved = [binding for statement in statements if (binding := resolver.binding(statement))]
    return Resolved(resolved, resolver.faults + _duplicates(resolved))


class _Resolver:
    def __init__(self, statements: Sequence[Binding], names: Names):
        self.faults: list[Fault] = []
        self._names = names
        found = [names.matches(statement.selector) for statement in statements if not statement.is_macro]
        self._bound = {entries[0].short_selector for entries in found if len(entries) == 1}
        self._macros = {statement.parameter for statement in statements if statement.is_macro}
        self._reported: set[tuple[str, str]] = set()

    def binding(self, statement: Binding) -> Binding | None:
        if statement.is_macro:
            return changed(statement, value=self._value(statement, None))
        found = self._names.matches(statement.selector)
        if len(found) != 1:
            self._value(statement, None)
            self._unknown_holder(statement)
            return None
        known = parameters(found[0]).get(statement.parameter)
        resolved = changed(statement, selector=found[0].selector, value=self._value(statement, known))
        fault = self._parameter_fault(resolved, found[0], known)
        if fault:
            self.faults.append(fault)
        return resolved

    @property
    def _advises(self) -> bool:
        return len(self.faults) < MAX_SHOWN

    def _value(self, statement: Binding, parameter: Parameter | None) -> Any:
        def leaf(item: Any) -> Any:
            if isinstance(item, Unreadable) and item.fault is not None:
                return self._unreadable(item.word, item.fault, parameter)
            if isinstance(item, Macro) and item.name not in self._macros:
                return self._names.constant(item.name) or item
            return self._reference(item) if isinstance(item, Reference) else item

        return replace(statement.value, leaf)

    def _reference(self, reference: Reference) -> Any:
        found = self._names.matches(reference.name)
        if len(found) == 1:
            return changed(reference, name=found[0].selector)
        self.faults.append(self._names.fault(reference.name, reference.location, str(reference), self._advises))
        return UNREADABLE

    def _unreadable(self, word: str, fault: Fault, parameter: Parameter | None) -> Any:
        """A word without quotes is a string in an override of a parameter that takes strings; else a fault."""
        found = self._names.matches(word)
        if fault.location.file == COMMAND_LINE and word and parameter and takes_words(parameter.annotation):
            return word
        if len(found) == 1:
            fault = changed(fault, help=did_you_mean([reference_text(found[0].kind, found[0].name)]))
        elif word[:1].isalpha() and parameter and is_number(parameter.annotation):
            fault = changed(fault, help=(f"wanted: {parameter}",))
        self.faults.append(fault)
        return UNREADABLE

    def _unknown_holder(self, statement: Binding) -> None:
        whole = f"{statement.selector}.{statement.parameter}"
        if len(self._names.matches(whole)) == 1:
            message = f"{whole} is a component; a value is bound to one of its parameters"
            self.faults.append(Fault("bare-name", message, statement.location, (f"{whole}.parameter = ...",)))
        elif (statement.selector, statement.location.file) not in self._reported:  # once, not for each parameter
            self._reported.add((statement.selector, statement.location.file))
            name = statement.selector
            self.faults.append(self._names.fault(name, statement.location, name, self._advises))

    def _parameter_fault(self, binding: Binding, entry: Entry, parameter: Parameter | None) -> Fault | None:
        """An unknown parameter, or one that only the framework gives."""
        name, component = binding.parameter, entry.short_selector
        if parameter is None:
            message = f"{component} has no parameter {name!r}"
            advice = self._parameter_advice(name, entry) if self._advises else ()
            return Fault("unknown-parameter", message, binding.location, advice)
        if parameter.late:
            arguments = ", ".join(KINDS[entry.kind].late)
            message = f"{component}.{name} cannot be bound: the framework calls each {entry.kind} with {arguments}"
            return Fault("late-parameter", message, binding.location, (f"accepted: {accepted(entry)}",))
        return None

    def _parameter_advice(self, name: str, entry: Entry) -> tuple[str, ...]:
        close = [f"{entry.short_selector}.{parameter}" for parameter in nearest(name, bindable(entry))]
        elsewhere = self._names.with_parameter(name)
        used = [parameter for parameter in elsewhere if parameter.rpartition(".")[0] in self._bound]
        lines = did_you_mean(close or used or elsewhere[:3])
        return (*lines, f"accepted: {accepted(entry)}", f"defined at {entry.origin}")


def _duplicates(bindings: Sequence[Binding]) -> list[Fault]:
    """The same parameter bound at two lines of one file, or in a file and then in one that it includes below."""
    faults = []
    by_key: dict[tuple[str, str, str], list[Binding]] = {}
    for binding in bindings:
        for earlier in by_key.setdefault(binding.key, [])[-1:]:  # of many, each is told beside the one before
            same_file = earlier.location.file == binding.location.file
            if same_file and earlier.location.line < binding.location.line:
                message = f"{binding} is bound twice in one file: first in line {earlier.location.line}"
                faults.append(Fault("duplicate", message, binding.location, ("keep one of them",)))
            elif not same_file and _includes_below(earlier, binding):
                message = f"{earlier} has no effect: {binding.location}, which is included below, binds it again"
                faults.append(Fault("duplicate", message, earlier.location, ("move it below the include",)))
        by_key[binding.key].append(binding)
    return faults


def _includes_below(earlier: Binding, later: Binding) -> bool:
    depth = len(earlier.included)
    inner = later.included[depth : depth + 1]
    return later.included[:depth] == earlier.included and bool(inner) and inner[0].file == earlier.location.file

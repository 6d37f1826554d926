"""Statements as they mean it: every name is that of a component, and what macros stand for is put in their place."""

from collections.abc import Mapping, Sequence
from dataclasses import replace as changed
from typing import Any

from emprot_core.config.faults import COMMAND_LINE, Fault, Faults, did_you_mean, nearest
from emprot_core.config.names import Names
from emprot_core.config.signature import Parameter, accepted, parameters, reference_text
from emprot_core.config.statements import Binding
from emprot_core.config.types import is_number, takes_words
from emprot_core.config.values import REQUIRED, UNREADABLE, Macro, Reference, Unreadable, Use, leaves, replace
from emprot_core.kinds import KINDS

MAX_LEAVES, MAX_DEPTH = 10_000, 50


def resolve(statements: Sequence[Binding], names: Names) -> list[Binding]:
    """The same statements with names resolved and macros replaced. A binding of nothing known is left out."""
    resolver = _Resolver(statements, names)
    resolved = [binding for statement in statements if (binding := resolver.resolved(statement))]
    _note_duplicates(resolved, names.faults)
    macros = Macros({binding.parameter: binding for binding in resolved if binding.is_macro}, names.faults)
    return [changed(binding, meaning=macros.expanded(binding.value)) for binding in resolved]


class _Resolver:
    def __init__(self, statements: Sequence[Binding], names: Names):
        self._names = names
        self._faults = names.faults
        found = [names.one(statement.selector) for statement in statements if not statement.is_macro]
        self._bound = {entry.short_selector for entry in found if entry}
        self._macros = {statement.parameter for statement in statements if statement.is_macro}
        self._reported: set[tuple[str, str]] = set()

    def resolved(self, statement: Binding) -> Binding | None:
        if statement.is_macro:
            return changed(statement, value=self._value(statement.value, None))
        entry = self._names.one(statement.selector)
        parameter = parameters(entry).get(statement.parameter) if entry else None
        value = self._value(statement.value, parameter)
        if entry is None:
            self._note_unknown_holder(statement)
            return None
        name, component = statement.parameter, entry.short_selector
        if parameter is None:
            advice = self._names.parameter_advice(name, entry, self._bound)
            message = f"{component} has no parameter {name!r}"
            self._faults.note("unknown-parameter", message, statement.location, *advice)
        elif parameter.late:
            arguments = ", ".join(KINDS[entry.kind].late)
            message = f"{component}.{name} cannot be bound: the framework calls each {entry.kind} with {arguments}"
            self._faults.note("late-parameter", message, statement.location, f"accepted: {accepted(entry)}")
            parameter = None
        return changed(statement, selector=entry.selector, value=value, taker=parameter)

    def _value(self, value: Any, parameter: Parameter | None) -> Any:
        def leaf(item: Any) -> Any:
            if isinstance(item, Unreadable) and item.fault is not None:
                return self._unreadable(item.word, item.fault, parameter)
            if isinstance(item, Macro):
                return self._macro(item)
            return self._reference(item) if isinstance(item, Reference) else item

        return replace(value, leaf)

    def _reference(self, reference: Reference) -> Any:
        entry = self._names.find(reference.name, reference.location, str(reference))
        if entry is None:
            return UNREADABLE
        return Use(reference.scopes, entry.selector, reference.call, reference.location, entry)

    def _macro(self, macro: Macro) -> Any:
        if macro.name in self._macros or macro.name == REQUIRED:
            return macro
        constant = self._names.constant(macro.name)
        if constant is None:
            close = did_you_mean([f"%{name}" for name in nearest(macro.name, self._macros)])
            help = (*close, f"define it: {macro.name} = ...")
            self._faults.note("undefined-macro", f"{macro} is not defined", macro.location, *help)
        return constant or macro

    def _unreadable(self, word: str, fault: Fault, parameter: Parameter | None) -> Any:
        """A word without quotes is a string in an override of a parameter that takes strings. Else it is a fault."""
        meant = self._names.one(word)
        if fault.location.file == COMMAND_LINE and word and parameter and takes_words(parameter.annotation):
            return word
        if meant:
            fault = changed(fault, help=did_you_mean([reference_text(meant.kind, meant.name)]))
        elif word[:1].isalpha() and parameter and is_number(parameter.annotation):
            fault = changed(fault, help=(f"wanted: {parameter}",))
        self._faults.append(fault)
        return UNREADABLE

    def _note_unknown_holder(self, statement: Binding) -> None:
        name, location = statement.selector, statement.location
        whole = f"{name}.{statement.parameter}"
        if self._names.one(whole):
            message = f"{whole} is a component; a value is bound to one of its parameters"
            self._faults.note("bare-name", message, location, f"{whole}.parameter = ...")
        elif (name, location.file) not in self._reported:  # once, not for each of its parameters
            self._reported.add((name, location.file))
            self._names.find(name, location)


class Macros:
    """What each macro stands for: its value with the values of other macros in their place."""

    def __init__(self, definitions: Mapping[str, Binding], faults: Faults):
        self._definitions = definitions
        self._faults = faults
        self._values: dict[str, Any] = {}
        self._sizes: dict[str, int] = {}
        self._open: list[str] = []

    def expanded(self, value: Any) -> Any:
        """The value with macros replaced. A macro without a value, or without an end, is UNREADABLE in it."""
        return replace(value, lambda leaf: self._value(leaf) if isinstance(leaf, Macro) else leaf)

    def _value(self, macro: Macro) -> Any:
        if macro.name == REQUIRED:
            return macro
        if macro.name in self._open:
            self._note_circle(self._open[self._open.index(macro.name) :])
            return UNREADABLE
        if macro.name not in self._definitions:
            return UNREADABLE
        if macro.name not in self._values:
            if len(self._open) == MAX_DEPTH:
                self._note_too_large(self._open[0])
                return UNREADABLE
            self._open.append(macro.name)
            self._values[macro.name] = self._grown(macro)
            self._open.pop()
        return self._values[macro.name]

    def _grown(self, macro: Macro) -> Any:
        written = self._definitions[macro.name].value
        value = replace(self.expanded(written), lambda leaf: _in_scope(leaf, macro))
        sizes = [self._sizes.get(leaf.name, 1) if isinstance(leaf, Macro) else 1 for leaf in leaves(written)]
        self._sizes[macro.name] = sum(sizes)
        if self._sizes[macro.name] <= MAX_LEAVES:
            return value
        self._note_too_large(macro.name)
        return UNREADABLE

    def _note_circle(self, names: Sequence[str]) -> None:
        for definition in (self._definitions[name] for name in names):
            message = f"the macro {definition} is defined by itself"
            self._faults.note("undefined-macro", message, definition.location)

    def _note_too_large(self, name: str) -> None:
        definition = self._definitions[name]
        message = f"the value of the macro {definition} grows beyond {MAX_LEAVES:,} items, or {MAX_DEPTH} macros deep"
        self._faults.note("too-large", message, definition.location, "write the value where it is used")


def _in_scope(leaf: Any, macro: Macro) -> Any:
    """A reference in the value of a macro is built in the scope of the macro's name, unless it has its own."""
    if isinstance(leaf, Use) and not leaf.macro_scope:
        return changed(leaf, macro_scope=macro.scope)
    return leaf


def _note_duplicates(bindings: Sequence[Binding], faults: Faults) -> None:
    """The same parameter bound at two lines of one file, or in a file and then in one that it includes below."""
    last: dict[tuple[str, str, str], Binding] = {}
    for binding in bindings:
        earlier = last.get(binding.key, binding)  # of many, each is told beside the one before
        same_file = earlier.location.file == binding.location.file
        if same_file and earlier.location.line < binding.location.line:
            message = f"{binding} is bound twice in one file: first in line {earlier.location.line}"
            faults.note("duplicate", message, binding.location, "keep one of them")
        elif not same_file and _includes_below(earlier, binding):
            message = f"{earlier} has no effect: {binding.location}, which is included below, binds it again"
            faults.note("duplicate", message, earlier.location, "move it below the include")
        last[binding.key] = binding


def _includes_below(earlier: Binding, later: Binding) -> bool:
    depth = len(earlier.included)
    inner = later.included[depth : depth + 1]
    return later.included[:depth] == earlier.included and bool(inner) and inner[0].file == earlier.location.file

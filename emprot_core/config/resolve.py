"""What statements mean: names are resolved to components, and macros are replaced by the values they stand for."""

from collections.abc import Mapping, Sequence
from dataclasses import replace as changed
from typing import Any, NamedTuple

from emprot_core.config.faults import COMMAND_LINE, Code, Fault, Faults, did_you_mean, nearest
from emprot_core.config.names import Names
from emprot_core.config.signature import Parameter, accepted, parameters
from emprot_core.config.statements import Binding
from emprot_core.config.types import is_number, takes_words
from emprot_core.config.values import REQUIRED, UNREADABLE, Macro, Reference, Unreadable, Use, leaves, replace, use_of
from emprot_core.kinds import KINDS
from emprot_core.registry import Entry

MAX_LEAVES, MAX_DEPTH = 10_000, 50


def resolve(statements: Sequence[Binding], names: Names) -> list[Binding]:
    """The same statements with names resolved and macros replaced.

    A binding of an unknown component is left out. Every fault is noted in `names.faults`.
    """
    resolver = _Resolver(statements, names)
    resolved = [binding for statement in statements if (binding := resolver.resolved(statement))]
    _note_duplicates(resolved, names.faults)
    macros = _Macros({binding.parameter: binding for binding in resolved if binding.is_macro}, names.faults)
    expanded = [(binding, macros.expansion(binding.value)) for binding in resolved]
    return [changed(binding, meaning=found.value, macros=found.macros) for binding, found in expanded]


class _Resolver:
    """Resolves the names in statements. A name that cannot be resolved is a fault."""

    def __init__(self, statements: Sequence[Binding], names: Names):
        self._names = names
        self._faults = names.faults
        found = [names.one(statement.selector) for statement in statements if not statement.is_macro]
        self._bound = {entry.short_selector for entry in found if entry}
        self._macros = {statement.parameter for statement in statements if statement.is_macro}
        self._reported: set[tuple[str, str]] = set()

    def resolved(self, statement: Binding) -> Binding | None:
        """The statement with its names resolved, or None if it binds an unknown component."""
        if statement.is_macro:
            return changed(statement, value=self._value(statement, None))
        entry = self._names.one(statement.selector)
        parameter = parameters(entry).get(statement.parameter) if entry else None
        value = self._value(statement, parameter)
        if entry is None:
            self._note_unknown_holder(statement)
            return None
        self._check_parameter(statement, entry, parameter)
        taker = None if parameter and parameter.late else parameter
        return changed(statement, selector=entry.selector, value=value, taker=taker)

    def _check_parameter(self, statement: Binding, entry: Entry, parameter: Parameter | None) -> None:
        name, component = statement.parameter, entry.short_selector
        if parameter is None:
            advice = self._names.parameter_advice(name, entry, self._bound)
            self._faults.note(
                "unknown-parameter", f"{component} has no parameter {name!r}", statement.location, *advice
            )
        elif parameter.late:
            arguments = ", ".join(KINDS[entry.kind].late)
            message = f"{component}.{name} cannot be bound: the framework calls each {entry.kind} with {arguments}"
            self._faults.note("late-parameter", message, statement.location, f"accepted: {accepted(entry)}")

    def _note_unknown_holder(self, statement: Binding) -> None:
        name, location = statement.selector, statement.location
        if self._names.note_if_component(f"{name}.{statement.parameter}", location):
            return
        if (name, location.file) not in self._reported:  # once, not for each of its parameters
            self._reported.add((name, location.file))
            self._names.find(name, location)

    def _value(self, statement: Binding, parameter: Parameter | None) -> Any:
        def leaf(item: Any) -> Any:
            if isinstance(item, Reference):
                return self._use(item, statement)
            if isinstance(item, Macro):
                return self._macro(item)
            if isinstance(item, Unreadable) and item.fault is not None:
                return self._word(item.word, item.fault, parameter)
            return item

        return replace(statement.value, leaf)

    def _use(self, reference: Reference, statement: Binding) -> Any:
        entry = self._names.find(reference.name, reference.location, str(reference))
        if entry is None:
            return UNREADABLE
        macro_scope = tuple(statement.parameter.split("/")) if statement.is_macro else ()
        return Use(reference.scopes, entry.selector, reference.call, reference.location, entry, macro_scope)

    def _macro(self, macro: Macro) -> Any:
        if macro.name in self._macros or macro.name == REQUIRED:
            return macro
        constant = self._names.constant(macro.name)
        if constant is None:
            close = did_you_mean([f"%{name}" for name in nearest(macro.name, self._macros)])
            message = f"{macro} is not defined"
            self._faults.note("undefined-macro", message, macro.location, *close, f"define it: {macro.name} = ...")
        return constant or macro

    def _word(self, word: str, fault: Fault, parameter: Parameter | None) -> Any:
        """What a word without quotes stands for.

        On the command line it is a string, if the parameter takes strings. Elsewhere it is a fault.
        """
        if fault.location.file == COMMAND_LINE and word and parameter and takes_words(parameter.annotation):
            return word
        meant = self._names.one(word)
        if meant:
            fault = changed(fault, help=did_you_mean([str(use_of(meant))]))
        elif word[:1].isalpha() and parameter and is_number(parameter.annotation):
            fault = changed(fault, help=(f"wanted: {parameter}",))
        self._faults.append(fault)
        return UNREADABLE


class _Expansion(NamedTuple):
    """A value with macros replaced, how many leaves it has, and which macros it came through."""

    value: Any
    size: int = 1
    macros: frozenset[str] = frozenset()


class _Macros:
    """What each macro stands for. Values that never end, or that grow too large, are faults and are not used."""

    def __init__(self, definitions: Mapping[str, Binding], faults: Faults):
        self._definitions = definitions
        self._faults = faults
        self._known: dict[str, _Expansion] = {}
        self._open: list[str] = []

    def expansion(self, value: Any) -> _Expansion:
        """The value with its macros replaced. A macro that stands for no value becomes UNREADABLE."""
        names = dict.fromkeys(leaf.name for leaf in leaves(value) if isinstance(leaf, Macro) and leaf.name != REQUIRED)
        inner = {name: self._macro(name) for name in names}

        def expand(leaf: Any) -> _Expansion:
            return inner[leaf.name] if isinstance(leaf, Macro) and leaf.name in inner else _Expansion(leaf)

        size = sum(expand(leaf).size for leaf in leaves(value))
        macros = frozenset(names).union(*(found.macros for found in inner.values()))
        return _Expansion(replace(value, lambda leaf: expand(leaf).value), size, macros)

    def _macro(self, name: str) -> _Expansion:
        unreadable = _Expansion(UNREADABLE)
        if name not in self._definitions:
            return unreadable
        if name in self._open:
            for each in self._open[self._open.index(name) :]:
                self._note(each, "undefined-macro", f"the macro {each} is defined by itself")
            return unreadable
        if name in self._known:
            return self._known[name]
        if len(self._open) == MAX_DEPTH:
            self._note_too_large(self._open[0])
            return unreadable
        self._open.append(name)
        found = self.expansion(self._definitions[name].value)
        self._open.pop()
        if found.size > MAX_LEAVES:
            self._note_too_large(name)
            found = found._replace(value=UNREADABLE)
        self._known[name] = found
        return found

    def _note_too_large(self, name: str) -> None:
        message = f"the value of the macro {name} grows beyond {MAX_LEAVES:,} items, or {MAX_DEPTH} macros deep"
        self._note(name, "too-large", message, "write the value where it is used")

    def _note(self, name: str, code: Code, message: str, *help: str) -> None:
        self._faults.note(code, message, self._definitions[name].location, *help)


def _note_duplicates(bindings: Sequence[Binding], faults: Faults) -> None:
    """Note where a file binds a parameter twice, or binds it and then includes a file that binds it again."""
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
    """Whether the file of the earlier binding includes that of the later one, itself or through others."""
    depth = len(earlier.included)
    inner = later.included[depth : depth + 1]
    return later.included[:depth] == earlier.included and bool(inner) and inner[0].file == earlier.location.file

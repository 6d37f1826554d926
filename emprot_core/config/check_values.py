"""Whether every bound value is one that its parameter can take."""

from collections.abc import Iterator
from typing import Any, Literal, get_args

from emprot_core.config.bindings import Bindings
from emprot_core.config.faults import Fault, Location, did_you_mean, nearest
from emprot_core.config.macros import MAX_DEPTH, MAX_LEAVES
from emprot_core.config.signature import annotation_text, bindable, kind_text, reference_text
from emprot_core.config.statements import Binding
from emprot_core.config.types import Misfit, misfit, union_members
from emprot_core.config.values import REQUIRED, Macro, Reference, as_text, leaves
from emprot_core.kinds import KINDS, contract_kind


def check_values(bindings: Bindings) -> Iterator[Fault]:
    """Faults of the codes undefined-macro, call-style, kind and type, of overridden bindings too."""
    for binding in bindings.statements:
        yield from _macro_faults(binding, bindings)
        yield from _built_factories(binding, bindings)
        yield from _misfits(binding, bindings)


def _macro_faults(binding: Binding, bindings: Bindings) -> Iterator[Fault]:
    known = bindings.macros
    for leaf in leaves(binding.value):
        if isinstance(leaf, Macro) and leaf.name != REQUIRED and leaf.name not in known:
            help = (*did_you_mean([f"%{name}" for name in nearest(leaf.name, known)]), f"define it: {leaf.name} = ...")
            yield Fault("undefined-macro", f"{leaf} is not defined", leaf.location, help)
    if binding.is_macro and binding is bindings.macros.get(binding.parameter):
        if binding.parameter in bindings.circular_macros:
            yield Fault("undefined-macro", f"the macro {binding} is defined by itself", binding.location)
        elif binding.parameter in bindings.endless_macros:
            message = f"the value of the macro {binding} grows beyond {MAX_LEAVES:,} items, or {MAX_DEPTH} macros deep"
            yield Fault("too-large", message, binding.location, ("write the value where it is used",))


def _built_factories(binding: Binding, bindings: Bindings) -> Iterator[Fault]:
    for leaf in leaves(binding.value):
        if isinstance(leaf, Reference) and leaf.call and KINDS[bindings.entries[leaf.name].kind].late:
            needs = KINDS[bindings.entries[leaf.name].kind].needs
            message = f"{leaf} would be built now, but needs {needs}"
            yield Fault("call-style", message, leaf.location, (f"drop the parentheses: {str(leaf)[:-2]}",))


def _misfits(binding: Binding, bindings: Bindings) -> Iterator[Fault]:
    parameter = None if binding.is_macro else bindable(bindings.entries[binding.selector]).get(binding.parameter)
    if parameter is None:
        return
    wrong = misfit(bindings.inlined(binding.value), parameter.annotation, bindings.entries)
    if wrong is None:
        return
    wanted = sorted({kind for member in union_members(wrong.annotation) if (kind := contract_kind(member))})
    if isinstance(wrong.value, Reference):
        yield from _reference_misfit(binding, wrong, wanted, bindings)
        return
    message = f"{binding} wants {_wanted(wrong.annotation, wanted)}, got {as_text(wrong.value)}"
    message += f" ({type(wrong.value).__name__})" if wrong.value is not None else ""
    location, macro_advice = _macro_place(binding, bindings)
    yield Fault("type", message, location, (*_type_advice(wrong, wanted, bindings), *macro_advice))


def _reference_misfit(binding: Binding, wrong: Misfit, wanted: list[str], bindings: Bindings) -> Iterator[Fault]:
    reference: Reference = wrong.value
    entry = bindings.entries[reference.name]
    if reference.call and KINDS[entry.kind].late:
        return  # said already
    called = Reference(reference.scopes, reference.name, True, reference.location)
    if not reference.call and misfit(called, wrong.annotation, bindings.entries) is None:
        message = f"{binding} wants {_wanted(wrong.annotation, wanted)}, {reference} is only its name"
        yield Fault("call-style", message, reference.location, (f"add parentheses: {called}",))
        return
    message = f"{binding} wants {_wanted(wrong.annotation, wanted)}, got {reference}, {kind_text(entry.kind)}"
    advice = tuple(_bracket_advice(wrong, bindings)) or tuple(_kind_advice(wanted, bindings))
    yield Fault("kind", message, reference.location, advice)


def _wanted(annotation: Any, kinds: list[str]) -> str:
    if not kinds:
        return annotation_text(annotation)
    text = " or ".join(f"{kind_text(kind)} ({reference_text(kind)})" for kind in kinds)
    return f"{text} or None" if type(None) in union_members(annotation) else text


def _kind_advice(kinds: list[str], bindings: Bindings) -> Iterator[str]:
    for kind in kinds:
        found = [reference_text(kind, entry.name) for entry in bindings.entries.values() if entry.kind == kind]
        if found:
            yield f"registered: {', '.join(found)}"


def _type_advice(wrong: Misfit, kinds: list[str], bindings: Bindings) -> Iterator[str]:
    value = wrong.value
    origins = [getattr(member, "__origin__", member) for member in union_members(wrong.annotation)]
    if isinstance(value, list) and tuple in origins:
        yield f"a tuple has parentheses: {as_text(tuple(value))}"
    elif isinstance(value, tuple) and list in origins:
        yield f"a list has brackets: {as_text(list(value))}"
    elif isinstance(value, str) and value.startswith(("@", "%")):
        yield f"without quotes: {value}"
    elif isinstance(value, str) and kinds:
        named = [entry for entry in bindings.entries.values() if entry.kind in kinds and entry.name == value]
        meant = did_you_mean([reference_text(entry.kind, entry.name) for entry in named])
        yield from meant or _kind_advice(kinds, bindings)
    elif isinstance(value, str) and getattr(wrong.annotation, "__origin__", None) is Literal:
        yield from did_you_mean([repr(name) for name in nearest(value, map(str, get_args(wrong.annotation)))])
    elif isinstance(value, str) and any(_reads_as(value, kind) for kind in (int, float) if kind in origins):
        yield f"without quotes: {value}"
    elif value is not None:
        yield from _bracket_advice(wrong, bindings)


def _bracket_advice(wrong: Misfit, bindings: Bindings) -> Iterator[str]:
    if misfit([wrong.value], wrong.annotation, bindings.entries) is None:
        yield f"in brackets: {as_text([wrong.value])}"


def _reads_as(text: str, number: type) -> bool:
    try:
        number(text)
    except ValueError:
        return False
    return True


def _macro_place(binding: Binding, bindings: Bindings) -> tuple[Location, tuple[str, ...]]:
    """Where a wrong value stands, and advice: at the macro that gives it, if that was set after it was used."""
    location, advice = binding.location, []
    for leaf in leaves(binding.value):
        definition = bindings.macros.get(leaf.name) if isinstance(leaf, Macro) else None
        if definition and bindings.statements.index(definition) > bindings.statements.index(binding):
            location = definition.location
            advice.append(f"{leaf} is used at {binding.location}")
        elif definition:
            advice.append(f"{leaf.name} is set at {definition.location}")
    return location, tuple(advice)

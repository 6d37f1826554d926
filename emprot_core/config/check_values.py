"""Whether every bound value is one that its parameter can take."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Literal, get_origin

from emprot_core.config.faults import Location, did_you_mean, nearest
from emprot_core.config.names import Names
from emprot_core.config.signature import annotation_text, kind_text, reference_text
from emprot_core.config.statements import Binding
from emprot_core.config.tree import Tree
from emprot_core.config.types import Misfit, literal_choices, misfit, union_members
from emprot_core.config.values import Macro, Use, as_text, leaves
from emprot_core.kinds import KINDS, contract_kind


def note_wrong_values(binding: Binding, tree: Tree) -> None:
    """Note faults of the codes call-style, kind and type; also those of a binding that a later one overrides."""
    for leaf in leaves(binding.value):
        if isinstance(leaf, Use) and leaf.call and KINDS[leaf.entry.kind].late:
            message = f"{leaf} would be built now, but needs {KINDS[leaf.entry.kind].needs}"
            tree.faults.note("call-style", message, leaf.location, f"drop the parentheses: {str(leaf)[:-2]}")
    wrong = misfit(binding.meaning, binding.taker.annotation) if binding.taker else None
    if wrong is None:
        return
    message = f"{binding} wants {_wanted(wrong)}, "
    if isinstance(wrong.value, Use):
        _note_wrong_reference(message, wrong.value, wrong, tree)
        return
    message += f"got {as_text(wrong.value)}"
    message += f" ({type(wrong.value).__name__})" if wrong.value is not None else ""
    location, macro_advice = _macro_place(binding, tree)
    tree.faults.note("type", message, location, *_type_advice(wrong, tree.names), *macro_advice)


def _note_wrong_reference(message: str, use: Use, wrong: Misfit, tree: Tree) -> None:
    if use.call and KINDS[use.entry.kind].late:
        return  # noted already: it would be built now
    called = replace(use, call=True)
    if not use.call and misfit(called, wrong.annotation) is None:
        message += f"{use} is only its name"
        tree.faults.note("call-style", message, use.location, f"add parentheses: {called}")
        return
    message += f"got {use}, {kind_text(use.entry.kind)}"
    advice = _in_brackets(wrong) or _registered(wrong, tree.names)
    tree.faults.note("kind", message, use.location, *advice)


def _wanted(wrong: Misfit) -> str:
    kinds = _kinds(wrong)
    if not kinds:
        return annotation_text(wrong.annotation)
    text = " or ".join(f"{kind_text(kind)} ({reference_text(kind)})" for kind in kinds)
    return f"{text} or None" if type(None) in union_members(wrong.annotation) else text


def _kinds(wrong: Misfit) -> list[str]:
    """The kinds of components that would fit."""
    return sorted({kind for member in union_members(wrong.annotation) if (kind := contract_kind(member))})


def _registered(wrong: Misfit, names: Names) -> list[str]:
    found = [(kind, names.references(kind)) for kind in _kinds(wrong)]
    return [f"registered: {', '.join(references)}" for kind, references in found if references]


def _type_advice(wrong: Misfit, names: Names) -> Iterator[str]:
    value, kinds = wrong.value, _kinds(wrong)
    origins = [get_origin(member) or member for member in union_members(wrong.annotation)]
    if isinstance(value, list) and tuple in origins:
        yield f"a tuple has parentheses: {as_text(tuple(value))}"
    elif isinstance(value, tuple) and list in origins:
        yield f"a list has brackets: {as_text(list(value))}"
    elif isinstance(value, str) and value.startswith(("@", "%")):
        yield f"without quotes: {value}"
    elif isinstance(value, str) and kinds:
        meant = [text for text in names.references(*kinds) if text.strip("@()").rpartition(".")[2] == value]
        yield from did_you_mean(meant) or _registered(wrong, names)
    elif isinstance(value, str) and Literal in origins:
        choices = map(str, literal_choices(wrong.annotation))
        yield from did_you_mean([repr(name) for name in nearest(value, choices)])
    elif isinstance(value, str) and any(_reads_as(value, kind) for kind in (int, float) if kind in origins):
        yield f"without quotes: {value}"
    elif value is not None:
        yield from _in_brackets(wrong)


def _in_brackets(wrong: Misfit) -> list[str]:
    fits = misfit([wrong.value], wrong.annotation) is None
    return [f"in brackets: {as_text([wrong.value])}"] if fits else []


def _reads_as(text: str, number: type) -> bool:
    try:
        number(text)
    except ValueError:
        return False
    return True


def _macro_place(binding: Binding, tree: Tree) -> tuple[Location, list[str]]:
    """Where a wrong value stands, and advice. If a macro gives it that was set after it was used: at the macro."""
    location, advice = binding.location, []
    for macro in (leaf for leaf in leaves(binding.value) if isinstance(leaf, Macro) and leaf.name in tree.macros):
        definition = tree.macros[macro.name]
        if tree.statements.index(definition) > tree.statements.index(binding):
            location = definition.location
            advice.append(f"{macro} is used at {binding.location}")
        else:
            advice.append(f"{macro.name} is set at {definition.location}")
    return location, advice

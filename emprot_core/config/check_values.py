"""Whether every bound value is one that its parameter can take."""

import re
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any

from emprot_core.config.faults import Location, did_you_mean, nearest
from emprot_core.config.names import Names
from emprot_core.config.signature import annotation_text, kind_text, reference_text
from emprot_core.config.statements import Binding
from emprot_core.config.tree import Tree
from emprot_core.config.types import Misfit, literal_choices, misfit, union_members
from emprot_core.config.values import Macro, Use, as_text, leaves
from emprot_core.kinds import KINDS, contract_kind


def note_wrong_values(binding: Binding, tree: Tree) -> None:
    """Note faults of the codes call-style, kind and type. Overridden bindings are checked too."""
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
    location, macro_advice = _place(binding, tree)
    tree.faults.note("type", message, location, *_advice(wrong, tree.names), *macro_advice)


def _note_wrong_reference(message: str, use: Use, wrong: Misfit, tree: Tree) -> None:
    if use.call and KINDS[use.entry.kind].late:
        return  # noted already: it would be built now
    called = replace(use, call=True)
    if not use.call and misfit(called, wrong.annotation) is None:
        message += f"{use} is only its name"
        tree.faults.note("call-style", message, use.location, f"add parentheses: {called}")
        return
    message += f"got {use}, {kind_text(use.entry.kind)}"
    advice = _repaired(wrong) or _registered(wrong, tree.names)
    tree.faults.note("kind", message, use.location, *advice)


def _wanted(wrong: Misfit) -> str:
    """What would fit, in words."""
    kinds = _kinds(wrong)
    if not kinds:
        return annotation_text(wrong.annotation)
    text = " or ".join(f"{kind_text(kind)} ({reference_text(kind)})" for kind in kinds)
    return f"{text} or None" if type(None) in union_members(wrong.annotation) else text


def _kinds(wrong: Misfit) -> list[str]:
    """The kinds of components that would fit."""
    return sorted({kind for member in union_members(wrong.annotation) if (kind := contract_kind(member))})


def _registered(wrong: Misfit, names: Names) -> Sequence[str]:
    """The components that would fit."""
    found = [", ".join(names.references(kind)) for kind in _kinds(wrong)]
    return [f"registered: {references}" for references in found if references]


def _advice(wrong: Misfit, names: Names) -> Sequence[str]:
    """What may have been meant by a literal that does not fit."""
    value = wrong.value
    if isinstance(value, str) and value.startswith(("@", "%")):
        return [f"without quotes: {value}"]
    kinds = _kinds(wrong)
    if isinstance(value, str) and kinds:
        meant = [reference for reference in names.references(*kinds) if value in re.findall(r"\w+", reference)]
        return did_you_mean(meant) or _registered(wrong, names)
    choices = nearest(value, map(str, literal_choices(wrong.annotation))) if isinstance(value, str) else []
    return did_you_mean([repr(choice) for choice in choices]) or _repaired(wrong)


def _repaired(wrong: Misfit) -> Sequence[str]:
    """The same value in a form that fits, if there is one."""
    for advice, value in _other_forms(wrong.value):
        if misfit(value, wrong.annotation) is None:
            return [f"{advice}: {as_text(value)}"]
    return []


def _other_forms(value: Any) -> Iterator[tuple[str, Any]]:
    """Forms of a value that are easily taken for each other."""
    if isinstance(value, list):
        yield "a tuple has parentheses", tuple(value)
    if isinstance(value, tuple):
        yield "a list has brackets", list(value)
    if isinstance(value, str):
        for number in (int, float):
            with suppress(ValueError):
                yield "without quotes", number(value)
    if value is not None:
        yield "in brackets", [value]


def _place(binding: Binding, tree: Tree) -> tuple[Location, list[str]]:
    """The location of a wrong value, and advice.

    The value stands at the binding, or at the macro that gives it, whichever comes last.
    """
    location, advice = binding.location, []
    written = [tree.macros.get(leaf.name) for leaf in leaves(binding.value) if isinstance(leaf, Macro)]
    for macro in filter(None, written):
        if tree.statements.index(macro) > tree.statements.index(binding):
            location = macro.location
            advice.append(f"%{macro} is used at {binding.location}")
        else:
            advice.append(f"{macro} is set at {macro.location}")
    return location, advice

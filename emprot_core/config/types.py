"""Whether a value fits the annotation of a parameter. Where that cannot be told, it fits."""

import collections.abc
import inspect
import typing
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, NamedTuple

from emprot_core.config.signature import EMPTY, UNIONS, bindable, returned
from emprot_core.config.values import Constant, Macro, Unreadable, Use, use_of
from emprot_core.kinds import KINDS, contract_kind
from emprot_core.registry import Entry

_SEQUENCES = (collections.abc.Sequence, collections.abc.Collection, collections.abc.Iterable)
_MAPPINGS = (dict, collections.abc.Mapping, collections.abc.MutableMapping)
_NUMBERS = {int: (int,), float: (int, float), complex: (int, float, complex)}


class Misfit(NamedTuple):
    """The part of a value that does not fit, and what was wanted in its place."""

    value: Any
    annotation: Any


def misfit(value: Any, annotation: Any) -> Misfit | None:
    """The first part of the value that does not fit the annotation, or None if all of it fits."""
    annotation = _bare(annotation)
    if isinstance(value, Constant):
        value = value.value
    if isinstance(value, Unreadable | Macro) or annotation in (EMPTY, Any, object):
        return None
    alternatives = union_members(annotation)
    if len(alternatives) > 1:
        found = [misfit(value, alternative) for alternative in alternatives]
        if None in found:
            return None
        inner = [wrong for wrong in found if wrong and wrong.value is not value]
        return inner[0] if inner else Misfit(value, annotation)
    if isinstance(value, Use):
        return None if _reference_fits(value, annotation) else Misfit(value, annotation)
    items = _items(value, annotation)
    if items is not None:
        return next((wrong for item, wanted in items if (wrong := misfit(item, wanted))), None)
    return None if _literal_fits(value, annotation) else Misfit(value, annotation)


def union_members(annotation: Any) -> Sequence[Any]:
    """The alternatives of a union, or the annotation alone."""
    annotation = _bare(annotation)
    return typing.get_args(annotation) if typing.get_origin(annotation) in UNIONS else (annotation,)


def literal_choices(annotation: Any) -> list[Any]:
    """The values that an annotation lists in Literal; empty if there are none."""
    literals = [member for member in union_members(annotation) if typing.get_origin(member) is typing.Literal]
    return [choice for literal in literals for choice in typing.get_args(literal)]


def takes_words(annotation: Any) -> bool:
    """Whether some string fits."""
    return str in union_members(annotation) or any(isinstance(choice, str) for choice in literal_choices(annotation))


def is_number(annotation: Any) -> bool:
    """Whether nothing but a number, or None, fits."""
    return all(member in (int, float, complex, type(None)) for member in union_members(annotation))


def takers(entry: Entry, holders: Iterable[Entry]) -> Iterator[tuple[str, bool]]:
    """The parameters of `holders` that take a reference to the component, each with whether it takes it in a list.

    Parameters that take anything are left out.
    """
    reference = use_of(entry)
    for holder in holders:
        for name, parameter in bindable(holder).items():
            if misfit(object(), parameter.annotation) is None:
                continue
            if misfit(reference, parameter.annotation) is None:
                yield f"{holder.short_selector}.{name}", False
            elif misfit([reference], parameter.annotation) is None:
                yield f"{holder.short_selector}.{name}", True


def _bare(annotation: Any) -> Any:
    """The annotation behind Annotated, NewType and TypeVar."""
    if typing.get_origin(annotation) is typing.Annotated:
        return _bare(typing.get_args(annotation)[0])
    if isinstance(annotation, typing.NewType):
        return _bare(annotation.__supertype__)
    if isinstance(annotation, typing.TypeVar):
        return _bare(annotation.__bound__ or Any)
    return type(None) if annotation is None else annotation


def _items(value: Any, annotation: Any) -> list[tuple[Any, Any]] | None:
    """Each item of a container with the annotation that it must fit.

    None if the value is no container, or the annotation wants another one.
    """
    origin, arguments = typing.get_origin(annotation) or annotation, typing.get_args(annotation)
    if origin in _MAPPINGS and isinstance(value, dict):
        wanted_key, wanted_item = arguments or (Any, Any)
        return [(key, wanted_key) for key in value] + [(item, wanted_item) for item in value.values()]
    if origin is tuple and isinstance(value, tuple) and arguments and arguments[-1] is not ...:
        return list(zip(value, arguments, strict=True)) if len(value) == len(arguments) else None
    is_sequence = origin in (list, tuple) and isinstance(value, origin)
    if is_sequence or (origin in _SEQUENCES and isinstance(value, list | tuple)):
        return [(item, arguments[0] if arguments else Any) for item in value]
    return None


def _literal_fits(value: Any, annotation: Any) -> bool:
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is typing.Literal:
        return any(type(value) is type(choice) and value == choice for choice in arguments)
    if contract_kind(annotation) or origin in (type, collections.abc.Callable):
        return False
    wanted = origin or annotation
    if wanted in _NUMBERS:
        return type(value) in _NUMBERS[wanted]  # not isinstance: True is no number here
    if wanted in (list, tuple, *_SEQUENCES, *_MAPPINGS):
        return False  # `_items` takes those that fit; a string is no sequence of strings
    if typing.is_typeddict(wanted):
        return isinstance(value, dict)
    return _holds(isinstance, value, wanted)


def _reference_fits(reference: Use, annotation: Any) -> bool:
    entry = reference.entry
    kind = contract_kind(annotation)
    if kind and entry.kind == "object":  # it may fulfil any contract
        return not (reference.call and KINDS[kind].late)
    if kind:
        return entry.kind == kind and reference.call == (not KINDS[kind].late)
    origin = typing.get_origin(annotation)
    wanted = origin or annotation
    gives_class = reference.call and inspect.isclass(entry.target)
    if wanted is collections.abc.Callable:
        return not gives_class or any("__call__" in vars(base) for base in inspect.getmro(entry.target))  # type: ignore
    if not reference.call:
        return wanted is type or not isinstance(wanted, type) or getattr(wanted, "_is_protocol", False)
    if not gives_class:  # a function: its annotation may say what it gives
        given = returned(entry)
        return not isinstance(given, type) or given is EMPTY or _holds(issubclass, given, wanted)
    return wanted is not typing.Literal and _holds(issubclass, entry.target, wanted)


def _holds(test: Callable[[Any, Any], bool], given: Any, wanted: Any) -> bool:
    """The result of isinstance or issubclass. True if `wanted` cannot be tested, as some protocols cannot."""
    try:
        return test(given, wanted)
    except TypeError:
        return True

"""The parameters of a component, and how annotations and defaults are shown to a user."""

import inspect
import typing
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from types import SimpleNamespace, UnionType
from typing import Any

from emprot_core.config.faults import NO_BREAK
from emprot_core.kinds import KINDS, contract_kind
from emprot_core.registry import Entry

EMPTY = inspect.Parameter.empty
UNIONS = (typing.Union, UnionType)
"""The origins of Union[a, b] and of a | b."""
_NAMED = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)


@dataclass(frozen=True)
class Parameter:
    """One parameter. The framework itself gives a late parameter when it calls the component; gin files cannot."""

    name: str
    annotation: Any  # EMPTY where there is none
    default: Any  # EMPTY where there is none
    late: bool

    @property
    def required(self) -> bool:
        return self.default is EMPTY and not self.late

    def __str__(self) -> str:
        text = self.name if self.annotation is EMPTY else f"{self.name}: {annotation_text(self.annotation)}"
        return text if self.default is EMPTY else f"{text} = {default_text(self.default)}"


@cache
def parameters(entry: Entry) -> dict[str, Parameter]:
    """The named parameters of a component, in their order. **kwargs is left out, so that no typo vanishes in it."""
    hints = _hints(entry.target)
    found = {}
    for i, p in enumerate(inspect.signature(entry.target).parameters.values()):
        if p.kind in _NAMED:
            written = EMPTY if isinstance(p.annotation, str) else p.annotation
            found[p.name] = Parameter(p.name, hints.get(p.name, written), p.default, _is_late(entry.kind, i, p))
    return found


def returned(entry: Entry) -> Any:
    """The annotation of what a function returns; EMPTY if there is none."""
    return _hints(entry.target).get("return", EMPTY)


def bindable(entry: Entry) -> dict[str, Parameter]:
    """The parameters that a gin file may bind."""
    return {name: parameter for name, parameter in parameters(entry).items() if not parameter.late}


def accepted(entry: Entry) -> str:
    """What may be bound, as one line of help."""
    texts = [f"{p.name} (required)" if p.required else str(p) for p in bindable(entry).values()]
    return ", ".join(text.replace(" ", NO_BREAK) for text in texts) or "no parameter"


def annotation_text(annotation: Any) -> str:
    """An annotation as a user reads it. A contract is shown as its kind, and names have no module in front."""
    kind = contract_kind(annotation)
    if kind:
        return kind
    if annotation is None or annotation is type(None):
        return "None"
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is typing.Annotated:
        return annotation_text(arguments[0])
    if origin in UNIONS:
        return " | ".join(map(annotation_text, arguments))
    if origin is typing.Literal:
        return "Literal[" + ", ".join(map(repr, arguments)) + "]"
    if origin is Callable:
        return "Callable"
    name = getattr(origin or annotation, "__name__", None) or str(annotation).rpartition(".")[2]
    inner = ", ".join("..." if argument is ... else annotation_text(argument) for argument in arguments)
    return f"{name}[{inner}]" if inner else name


def default_text(default: Any) -> str:
    """A default as a user reads it. Functions are shown by name."""
    return getattr(default, "__name__", None) or repr(default)


def reference_text(kind: str, name: str = "Name") -> str:
    """How a gin file refers to a component of that kind: @models.Name(), @optimizers.name."""
    return "@" + ".".join(filter(None, (KINDS[kind].folder, name))) + ("" if KINDS[kind].late else "()")


def kind_text(kind: str) -> str:
    """The kind with its article: an optimizer."""
    noun = f"{kind} component" if kind in ("data", "core") else kind
    return f"an {noun}" if noun[0] in "aeiou" else f"a {noun}"


def _is_late(kind: str, position: int, parameter: inspect.Parameter) -> bool:
    """Whether a parameter is late. Its name may differ from that in the table of kinds, but not its position."""
    late = KINDS[kind].late
    return parameter.name in late or (position < len(late) and parameter.default is EMPTY)


def _hints(target: Callable[..., Any]) -> dict[str, Any]:
    """Annotations by parameter name. Those that cannot be evaluated, as of names under TYPE_CHECKING, are left out."""
    function = inspect.unwrap(target.__init__ if inspect.isclass(target) else target)
    hints: dict[str, Any] = {}
    for name, annotation in getattr(function, "__annotations__", {}).items():
        alone = SimpleNamespace(__annotations__={name: annotation})
        with suppress(NameError, TypeError, AttributeError):
            hints |= typing.get_type_hints(alone, function.__globals__, include_extras=True)
    return hints

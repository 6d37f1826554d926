"""How a component is named when it breaks its contract: by its gin name and the place of its definition."""

import functools
import inspect
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from torch import Tensor

from emprot_core import registry
from emprot_core.errors import EmprotError


class ContractBroken(EmprotError):
    """A component does not do what the contract of its kind asks."""

    page = "faults#contract-broken"


def broken(component: Any, wanted: str, got: Any, change: str) -> ContractBroken:
    """The error that tells what the contract asks of a component, what the component gave, and what to change.

    Args:
        got: a text, or the value itself, which is told by its type, shape and dtype.
    """
    told = got if isinstance(got, str) else kind_of(got)
    return ContractBroken(f"{title(component)}: expected {wanted}, got {told}; {change}")


def title(component: Any) -> str:
    """The gin name and the place of a component, as in "losses.MyLoss (my_lab/losses.py:12)".

    What is not registered, such as the object that a registered function made, is named by its class.
    """
    entry = registry.entry_of(component)
    if entry is None:
        target = component.func if isinstance(component, functools.partial) else component
        target = target if inspect.isclass(target) or inspect.isroutine(target) else type(target)
        entry = registry.Entry("core", target.__name__, target)
    return f"{entry.short_selector} ({entry.origin})"


def kind_of(value: Any) -> str:
    """What a value is, in few words: its type, with shape and dtype where it has them."""
    if isinstance(value, Tensor | np.ndarray):
        dtype = str(value.dtype).removeprefix("torch.")
        return f"{'a tensor' if isinstance(value, Tensor) else 'an array'} {tuple(value.shape)} of {dtype}"
    if isinstance(value, Mapping):
        return f"a {type(value).__name__} with {', '.join(map(repr, value)) or 'no entries'}"
    if value is None or isinstance(value, bool | int | float | str):
        return repr(value)
    return f"a {type(value).__name__}"


def check_attribute(component: Any, name: str, wanted: str, is_right: Callable[[Any], bool], change: str = "") -> None:
    """
    Args:
        wanted: what the contract asks, for the message: "a str".

    Raises:
        ContractBroken: the component has no such attribute, or it holds something else.
    """
    value = getattr(component, name, None)
    if not is_right(value):
        got = kind_of(value) if hasattr(component, name) else "no such attribute"
        raise broken(component, f"an attribute {name}, {wanted}", got, change or f"write {name} = ... in the class")


def check_method(component: Any, name: str, *arguments: str) -> None:
    """
    Raises:
        ContractBroken: the component has no such method, or it takes other arguments.
    """
    if not callable(method := getattr(component, name, None)):
        raise broken(component, f"a method {name}({', '.join(arguments)})", "no such method", f"define {name}")
    check_takes(component, method, name, *arguments)


def check_takes(component: Any, call: Any, what: str, *arguments: str) -> None:
    """Check that a function can be called with so many arguments.

    Args:
        component: whose function it is.
        what: what is called, for the message: "on_step_end".
        arguments: names of what it is called with.

    Raises:
        ContractBroken: it takes fewer, or needs more.
    """
    try:
        signature = inspect.signature(call)
    except (TypeError, ValueError):  # written in C: nothing is known of its arguments
        return
    try:
        signature.bind(*arguments)
    except TypeError:
        given = ", ".join(arguments)
        change = f"give it exactly the parameters that {what} is called with"
        raise broken(component, f"{what}({given})", f"{what}{signature}", change) from None

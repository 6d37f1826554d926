"""Builds the objects of a config: a walk of its tree with plain calls. No wrapper is left around any object."""

import re
from collections.abc import Callable, Collection, Mapping
from functools import partial
from typing import Any

from emprot_core.config.signature import parameters
from emprot_core.config.statements import Binding
from emprot_core.config.tree import Component, Tree
from emprot_core.config.values import Constant, Use, replace
from emprot_core.errors import EmprotError


class Builder:
    """Builds components of a tree. `built` holds those built so far, in the order of building."""

    def __init__(self, tree: Tree):
        self._tree = tree
        self.built: dict[Component, None] = {}

    def arguments(self, component: Component, lazy: Collection[str] = ()) -> dict[str, Any]:
        """The values of the bound parameters of a component. References are built.

        A parameter that is named in `lazy` comes as a callable without arguments, which builds the value. The others
        are built in the order of the signature, so that random numbers do not depend on the order of statements.
        """
        self.built[component] = None
        arguments = {}
        for name in parameters(component.entry):
            if name in component.bound:
                build = partial(self.value, component, name)
                arguments[name] = build if name in lazy else build()
        return arguments

    def value(self, component: Component, parameter: str, given: Mapping[str, Any] | None = None) -> Any:
        """The value of one bound parameter of a component. `given` goes to what it refers to, instead of its own."""
        binding = component.bound[parameter]

        def leaf(item: Any) -> Any:
            if isinstance(item, Use):
                return self._object(component.child(item), item, binding, given or {})
            return item.value if isinstance(item, Constant) else item

        return replace(binding.meaning, leaf)

    def _object(self, component: Component, use: Use, binding: Binding, given: Mapping[str, Any]) -> Any:
        """The object that a reference in the value of a binding stands for, or a factory of it."""
        entry = component.entry
        target: Callable[..., Any] = entry.target
        if unknown := given.keys() - parameters(entry).keys():
            raise EmprotError(f"{component} has no parameter {min(unknown)}; it has {', '.join(parameters(entry))}")
        arguments = {**self.arguments(component, lazy=given.keys()), **given}
        if not use.call:
            return partial(target, **arguments)
        try:
            return target(**arguments)
        except ValueError as error:  # a constructor refuses a value: this is the user's mistake
            mistake = error if isinstance(error, EmprotError) else EmprotError(str(error))
            self._add_notes(mistake, component, use, binding)
            if mistake is error:
                raise
            mistake.add_note(f"raised by {entry.selector}, defined at {entry.origin}")
            raise mistake from error
        except Exception as error:
            self._add_notes(error, component, use, binding)
            raise

    def _add_notes(self, error: Exception, component: Component, use: Use, binding: Binding) -> None:
        error.add_note(f"while building {component} for {binding} ({use.location})")
        for given in component.bound.values():
            if _tells_value_of(given.parameter, error):
                error.add_note(f"with {given} from {self._tree.source(given).location}")


def _tells_value_of(parameter: str, error: Exception) -> bool:
    """Whether the message speaks of the value: "width = 0", "width is 0"."""
    return re.search(rf"\b{re.escape(parameter)} (= |(is|are|has|have)\b)", str(error)) is not None

"""The object graph of a config, built with plain calls: no gin frame and no wrapper is left around any object."""

import re
from collections.abc import Callable, Collection
from functools import partial
from typing import Any

from emprot_core.config.bindings import Bindings, Node, Scope
from emprot_core.config.signature import parameters
from emprot_core.config.statements import Binding
from emprot_core.config.values import Constant, Macro, Reference, replace
from emprot_core.errors import EmprotError


class Builder:
    """Builds components, and remembers which."""

    def __init__(self, bindings: Bindings):
        self._bindings = bindings
        self.built: dict[Node, None] = {}
        """Every component built so far, in its scope; in the order of building."""

    def arguments(self, node: Node, lazy: Collection[str] = ()) -> dict[str, Any]:
        """The bound values of a component, references built; names in `lazy` come as callables that build.

        They are built in the order of the signature: what draws random numbers must not depend on the order of
        statements.
        """
        self.built[node] = None
        bound = self._bindings.of(node)
        names = [name for name in parameters(self._bindings.entries[node.selector]) if name in bound]
        return {
            name: partial(self.value, bound[name], node.scope) if name in lazy else self.value(bound[name], node.scope)
            for name in names
        }

    def value(self, binding: Binding, scope: Scope) -> Any:
        """The value of a binding of a component that is built in `scope`."""
        return self._value(binding.value, scope, binding)

    def _value(self, value: Any, scope: Scope, binding: Binding) -> Any:
        def leaf(item: Any) -> Any:
            if isinstance(item, Macro):
                definition = self._bindings.macros.get(item.name)
                assert definition is not None, item
                return self._value(definition.value, item.scope, binding)
            if isinstance(item, Constant):
                return item.value
            return self._component(item, scope, binding) if isinstance(item, Reference) else item

        return replace(value, leaf)

    def _component(self, reference: Reference, scope: Scope, binding: Binding) -> Any:
        node = Node(reference.name, reference.scopes or scope)
        target: Callable[..., Any] = self._bindings.entries[reference.name].target
        arguments = self.arguments(node)
        if not reference.call:
            return partial(target, **arguments)
        try:
            return target(**arguments)
        except ValueError as error:  # how a constructor refuses a value: the user's mistake
            mistake = error if isinstance(error, EmprotError) else EmprotError(str(error))
            self._add_notes(mistake, node, reference, binding)
            if mistake is error:
                raise
            mistake.add_note(f"raised by {node.selector}, defined at {self._bindings.entries[node.selector].origin}")
            raise mistake from error
        except Exception as error:
            self._add_notes(error, node, reference, binding)
            raise

    def _add_notes(self, error: Exception, node: Node, reference: Reference, binding: Binding) -> None:
        name = "/".join((*node.scope, self._bindings.entries[node.selector].short_selector))
        error.add_note(f"while building {name} for {binding} ({reference.location})")
        for given in self._bindings.of(node).values():
            if _tells_value_of(given.parameter, error):
                error.add_note(f"with {given} from {self._source(given).location}")

    def _source(self, binding: Binding) -> Binding:
        """Where the value is written: a macro's definition, if the binding names one."""
        definition = self._bindings.macros.get(binding.value.name) if isinstance(binding.value, Macro) else None
        return binding if definition is None else self._source(definition)


def _tells_value_of(parameter: str, error: Exception) -> bool:
    return re.search(rf"\b{re.escape(parameter)} (= |(is|are|has|have)\b)", str(error)) is not None

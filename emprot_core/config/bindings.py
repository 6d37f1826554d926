"""The bindings of a config with every name resolved: which value a component gets in which scope, as gin decides it.

A component built in the scope a/b sees the bindings of no scope, of a, and of a/b, the later ones first. A reference
without a scope of its own inherits the scope of the component that holds it; a macro's value is built in the scope that
is the macro's name.
"""

from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from typing import Any, NamedTuple

from emprot_core.config.faults import Location
from emprot_core.config.statements import Binding
from emprot_core.config.values import REQUIRED, UNREADABLE, Macro, Reference, leaves, replace
from emprot_core.registry import Entry

ROOT = "emprot.run"
Scope = tuple[str, ...]


class Node(NamedTuple):
    """A component in the scope in which it would be built."""

    selector: str
    scope: Scope


class Visit(NamedTuple):
    """A node, and the reference that led to it (None for where a walk began)."""

    node: Node
    location: Location | None


class Bindings:
    """All bindings of a config in their order, full selectors everywhere. Never changes."""

    def __init__(self, statements: Sequence[Binding], entries: Mapping[str, Entry]):
        self.statements = tuple(statements)
        self.entries = dict(entries)
        self.effective: dict[tuple[str, str, str], Binding] = {}
        for binding in self.statements:
            self.effective[binding.key] = binding

    @cached_property
    def _parameters(self) -> dict[tuple[str, str], dict[str, Binding]]:
        """Effective bindings by scope and selector."""
        table: dict[tuple[str, str], dict[str, Binding]] = {}
        for binding in self.effective.values():
            table.setdefault((binding.scope, binding.selector), {})[binding.parameter] = binding
        return table

    def of(self, node: Node) -> dict[str, Binding]:
        """The effective binding of each bound parameter of a component built in that scope."""
        found: dict[str, Binding] = {}
        for i in range(len(node.scope) + 1):
            found.update(self._parameters.get(("/".join(node.scope[:i]), node.selector), {}))
        return found

    def macro(self, name: str) -> Binding | None:
        return self.effective.get(("", "", name))

    def inlined(self, value: Any) -> Any:
        """The value with macros replaced by theirs; one without a value, or that holds itself, is UNREADABLE."""
        return self._inlined(value, ())

    def _inlined(self, value: Any, open_macros: tuple[str, ...]) -> Any:
        def leaf(item: Any) -> Any:
            if not isinstance(item, Macro):
                return item
            definition = self.macro(item.name)
            if definition is None or item.name in open_macros:
                return UNREADABLE
            return self._inlined(definition.value, (*open_macros, item.name))

        return replace(value, leaf)

    @cached_property
    def built(self) -> dict[Node, Visit]:
        """Every component that building `run` would build, in that order."""
        return self._walk([Node(ROOT, ())], overridden=False)

    @cached_property
    def mentioned(self) -> dict[Node, Visit]:
        """The same when every statement counts, those too that a later one overrides."""
        return self._walk([Node(ROOT, ())], overridden=True)

    def mentioned_from(self, starts: Sequence[Node]) -> set[Node]:
        """What references lead to from these nodes; a start only if something refers to it."""
        visits = self._walk(starts, overridden=True)
        return {node for node, visit in visits.items() if visit.location is not None}

    @cached_property
    def mentioned_macros(self) -> set[str]:
        """Names of the macros that any statement uses."""
        values = (leaf for binding in self.statements for leaf in leaves(binding.value))
        return {leaf.name for leaf in values if isinstance(leaf, Macro)}

    def references(self, binding: Binding, scope: Scope, overridden: bool = False) -> Iterator[Visit]:
        """The components that a binding's value refers to, when its holder is built in `scope`."""
        yield from self._references(binding.value, scope, overridden, ())

    def _references(self, value: Any, scope: Scope, overridden: bool, open_macros: Scope) -> Iterator[Visit]:
        for leaf in leaves(value):
            if isinstance(leaf, Reference):
                yield Visit(Node(leaf.name, leaf.scopes or scope), leaf.location)
            elif isinstance(leaf, Macro) and leaf.name not in open_macros:
                for definition in self._definitions(leaf.name, overridden):
                    yield from self._references(definition.value, leaf.scope, overridden, (*open_macros, leaf.name))

    def _definitions(self, macro: str, overridden: bool) -> list[Binding]:
        if overridden:
            return [binding for binding in self.statements if binding.is_macro and binding.parameter == macro]
        definition = self.macro(macro)
        return [definition] if definition else []

    def _walk(self, starts: Sequence[Node], overridden: bool) -> dict[Node, Visit]:
        visits: dict[Node, Visit] = {}
        waiting = [Visit(node, None) for node in reversed(starts)]
        while waiting:
            visit = waiting.pop()
            known = visits.get(visit.node)
            if known is not None:
                if known.location is None:
                    visits[visit.node] = visit
                continue
            visits[visit.node] = visit
            found = [
                reached
                for binding in self._holders(visit.node, overridden)
                for reached in self.references(binding, visit.node.scope, overridden)
            ]
            waiting += reversed(found)
        return visits

    def _holders(self, node: Node, overridden: bool) -> list[Binding]:
        if not overridden:
            return list(self.of(node).values())
        return [binding for binding in self.statements if binding.selector == node.selector and covers(node, binding)]


def covers(node: Node, binding: Binding) -> bool:
    """Whether a component built there sees a binding of its selector in that binding's scope."""
    scope = tuple(filter(None, binding.scope.split("/")))
    return node.selector == binding.selector and node.scope[: len(scope)] == scope


def is_required(value: Any) -> bool:
    """Whether the value is the macro that somebody else must override."""
    return isinstance(value, Macro) and value.name == REQUIRED

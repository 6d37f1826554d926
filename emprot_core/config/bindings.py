"""The bindings of a config with every name resolved: which value a component gets in which scope, as gin decides it.

A component built in the scope a/b sees the bindings of no scope, of a, and of a/b, the later ones first. A reference
without a scope of its own inherits the scope of the component that holds it; a macro's value is built in the scope that
is the macro's name.
"""

from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from typing import Any, NamedTuple

from emprot_core.config.faults import Location
from emprot_core.config.macros import MAX_DEPTH, MAX_LEAVES, Size, measure
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
        self._reached: dict[tuple[str, bool], dict[str, Scope]] = {}
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

    @cached_property
    def macros(self) -> dict[str, Binding]:
        """The effective definition of each macro, by its name."""
        return {binding.parameter: binding for binding in self.effective.values() if binding.is_macro}

    @cached_property
    def circular_macros(self) -> set[str]:
        """Names of the macros that are defined by themselves."""
        return {name for name, size in self._macro_sizes.items() if not size.leaves}

    @cached_property
    def endless_macros(self) -> set[str]:
        """Names of the macros whose value, with theirs in the place of others, is too large to work with."""
        sizes = self._macro_sizes.items()
        return {name for name, size in sizes if size.leaves > MAX_LEAVES or size.depth > MAX_DEPTH}

    @cached_property
    def _macro_sizes(self) -> dict[str, Size]:
        return measure({name: binding.value for name, binding in self.macros.items()})

    def inlined(self, value: Any) -> Any:
        """The value with macros replaced by theirs; one without a value, or without an end, is UNREADABLE."""

        def leaf(item: Any) -> Any:
            if not isinstance(item, Macro):
                return item
            if item.name not in self.macros or item.name in self.circular_macros | self.endless_macros:
                return UNREADABLE
            return self.inlined(self.macros[item.name].value)

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
        yield from _direct(binding.value, scope)
        for leaf in leaves(binding.value):
            if isinstance(leaf, Macro):
                for name in self._reached_macros(leaf.name, overridden) | {leaf.name: leaf.scope}:
                    for definition in self._definitions(name, overridden):
                        yield from _direct(definition.value, tuple(name.split("/")))

    def _reached_macros(self, macro: str, overridden: bool) -> dict[str, Scope]:
        """Every macro that the value of this one leads to."""
        if (macro, overridden) not in self._reached:
            found: dict[str, Scope] = {}
            waiting = [macro]
            while waiting:
                for definition in self._definitions(waiting.pop(), overridden):
                    for leaf in leaves(definition.value):
                        if isinstance(leaf, Macro) and leaf.name not in found:
                            found[leaf.name] = leaf.scope
                            waiting.append(leaf.name)
            self._reached[macro, overridden] = found
        return self._reached[macro, overridden]

    def _definitions(self, macro: str, overridden: bool) -> list[Binding]:
        if overridden:
            return self._all_definitions.get(macro, [])
        return [self.macros[macro]] if macro in self.macros else []

    @cached_property
    def _all_definitions(self) -> dict[str, list[Binding]]:
        found: dict[str, list[Binding]] = {}
        for binding in self.statements:
            if binding.is_macro:
                found.setdefault(binding.parameter, []).append(binding)
        return found

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


def _direct(value: Any, scope: Scope) -> Iterator[Visit]:
    """The components that a value refers to itself."""
    for leaf in leaves(value):
        if isinstance(leaf, Reference):
            yield Visit(Node(leaf.name, leaf.scopes or scope), leaf.location)


def covers(node: Node, binding: Binding) -> bool:
    """Whether a component built there sees a binding of its selector in that binding's scope."""
    scope = tuple(filter(None, binding.scope.split("/")))
    return node.selector == binding.selector and node.scope[: len(scope)] == scope


def is_required(value: Any) -> bool:
    """Whether the value is the macro that somebody else must override."""
    return isinstance(value, Macro) and value.name == REQUIRED

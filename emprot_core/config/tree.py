"""The tree of a config: every component in the scope in which it is built, with its values and where they are written.

The rules of scopes are gin's. A component that is built in the scope a/b sees the bindings of no scope, of a, and of
a/b; the innermost wins. A reference without a scope of its own is built in the scope of the component that holds it.
A macro's value is built in the scope that is the macro's name.
"""

from collections.abc import Iterable, Sequence
from functools import cached_property

from emprot_core.config.faults import Location
from emprot_core.config.names import Names
from emprot_core.config.resolve import MAX_DEPTH, resolve
from emprot_core.config.signature import parameters
from emprot_core.config.statements import Binding
from emprot_core.config.values import Macro, Scope, Use, leaves
from emprot_core.registry import Entry

ROOT = "emprot.run"


class Component:
    """A component in its scope. The same component in the same scope is one object.

    Attributes:
        location: the first reference to it; None if there is none, as of the root.
        statements: all that bind its parameters, also those that another one overrides.
        bound: for each bound parameter, the statement that wins.
    """

    def __init__(self, tree: "Tree", entry: Entry, scope: Scope, location: Location | None):
        self._tree = tree
        self.entry = entry
        self.scope = scope
        self.location = location
        self.statements = tree.binding(entry, scope)
        self.bound = {statement.parameter: statement for statement in self.statements}

    def child(self, use: Use) -> "Component":
        """The component that a reference in one of the values leads to."""
        return self._tree.at(use, self.scope)

    def __str__(self) -> str:
        return "/".join((*self.scope, self.entry.short_selector))


class Tree:
    """All components of a config. Its faults are noted in `names.faults` while it grows.

    Attributes:
        statements: every one, in their order, with names resolved and macros replaced.
        effective: of the statements with one key, the last.
        built: the components that building `run` builds, in that order.
    """

    def __init__(self, statements: Sequence[Binding], names: Names):
        self.names = names
        self.faults = names.faults
        self.statements = resolve(statements, names)
        self.effective = {binding.key: binding for binding in self.statements}
        self.built: dict[Component, None] = {}
        self._components: dict[tuple[str, Scope], Component] = {}
        self._by_holder: dict[tuple[str, str], list[Binding]] = {}
        for binding in self.statements:
            self._by_holder.setdefault(binding.holder, []).append(binding)
        if ROOT in names.entries:
            self._grow([self.component(names.entries[ROOT], ())])

    def binding(self, entry: Entry, scope: Scope) -> list[Binding]:
        """The statements that bind parameters of a component in that scope, those of inner scopes last."""
        scopes = ["/".join(scope[:depth]) for depth in range(len(scope) + 1)]
        return [binding for outer in scopes for binding in self._by_holder.get((outer, entry.selector), ())]

    def component(self, entry: Entry, scope: Scope, location: Location | None = None) -> Component:
        """The component of the tree in that scope. `location` is that of the reference to it."""
        key = entry.selector, scope
        if key not in self._components:
            self._components[key] = Component(self, entry, scope, location)
        return self._components[key]

    def at(self, use: Use, scope: Scope) -> Component:
        """The component that a reference leads to, if its holder is in that scope."""
        return self.component(use.entry, use.scopes or use.macro_scope or scope, use.location)

    def _grow(self, path: list[Component]) -> None:
        """Add the last component of the path, and then what its values lead to."""
        component = path[-1]
        self.built[component] = None
        for binding in component.bound.values():
            for use in (leaf for leaf in leaves(binding.meaning) if isinstance(leaf, Use)):
                child = component.child(use)
                if child in path:
                    chain = [*path[path.index(child) :], child]
                    text = " -> ".join(one.entry.short_selector for one in chain)
                    self.faults.note("reference-cycle", f"building this never ends: {text}", use.location)
                elif len(path) == MAX_DEPTH:
                    message = f"components are nested more than {MAX_DEPTH} deep within each other"
                    self.faults.note("too-large", message, use.location)
                elif child not in self.built:
                    self._grow([*path, child])

    @cached_property
    def mentioned(self) -> dict[Component, None]:
        """What any statement refers to, also one that a later statement overrides; and `run` itself."""
        found = dict.fromkeys(list(self.built)[:1])
        waiting = [(statement, statement.scopes) for statement in reversed(self.statements)]
        while waiting:
            statement, scope = waiting.pop()
            for child in (self.at(leaf, scope) for leaf in leaves(statement.value) if isinstance(leaf, Use)):
                if child not in found:
                    found[child] = None
                    waiting += [(inner, child.scope) for inner in child.statements]
        return found

    @cached_property
    def macros(self) -> dict[str, Binding]:
        """The effective definition of each macro."""
        return {binding.parameter: binding for binding in self.effective.values() if binding.is_macro}

    @cached_property
    def used_macros(self) -> set[str]:
        """Names of the macros that any statement uses."""
        return {name for binding in self.statements for name in binding.macros}

    @cached_property
    def reachable(self) -> list[Binding]:
        """The effective bindings of everything that is built, in the order of the statements."""
        used = {binding.key for component in self.built for binding in component.bound.values()}
        return [binding for key, binding in self.effective.items() if key in used]

    def by_component(self) -> dict[Entry, list[Binding]]:
        """The same for each component in the order of building; sorted by scope, then as in the signature."""
        found: dict[Entry, list[Binding]] = {component.entry: [] for component in self.built}
        for binding in self.reachable:
            found[self.names.entries[binding.selector]].append(binding)
        for entry, bindings in found.items():
            order = list(parameters(entry))
            bindings.sort(key=lambda binding: (binding.scope, order.index(binding.parameter)))
        return found

    def needed_macros(self, bindings: Iterable[Binding]) -> list[Binding]:
        """The definitions of the macros that these bindings need, in the order of the statements."""
        needed = {name for binding in bindings for name in binding.macros}
        return [definition for name, definition in self.macros.items() if name in needed]

    def source(self, binding: Binding) -> Binding:
        """Where the value of a binding is written: a macro's definition, if the value is a macro alone."""
        macro = binding.value
        return self.source(self.macros[macro.name]) if isinstance(macro, Macro) else binding

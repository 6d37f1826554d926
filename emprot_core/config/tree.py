"""The tree of a config: every component in its scope, with its values and the places where they are written.

The rules of scopes are gin's. A component that is built in the scope a/b sees the bindings of no scope, of a, and of
a/b. The innermost binding wins. A reference without a scope of its own is built in the scope of the component that
holds it. A reference in the value of a macro is built in the scope that has the macro's name.
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
    """A component in one scope: a node of the tree.

    Attributes:
        location: the place of the first reference to it; None for the root, and if nothing refers to it.
        statements: all statements that bind its parameters, overridden ones included.
        bound: the statement that wins, for each bound parameter.
    """

    def __init__(self, tree: "Tree", entry: Entry, scope: Scope, location: Location | None):
        self._tree = tree
        self.entry = entry
        self.scope = scope
        self.location = location
        self.statements = tree.statements_of(entry, scope)
        self.bound = {statement.parameter: statement for statement in self.statements}

    def child(self, use: Use) -> "Component":
        """The component that a reference in one of its values leads to."""
        return self._tree.at(use, self.scope)

    def __str__(self) -> str:
        return "/".join((*self.scope, self.entry.short_selector))


class Tree:
    """All components of a config, and its statements. Faults are noted in `names.faults` while it grows.

    Attributes:
        statements: all statements in the order of reading, with names resolved and macros replaced.
        effective: the statement that wins, for each key.
        built: the components that building `run` would build, in the order of building.
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

    def statements_of(self, entry: Entry, scope: Scope) -> list[Binding]:
        """The statements that a component sees in that scope. Those of inner scopes come last."""
        scopes = ["/".join(scope[:depth]) for depth in range(len(scope) + 1)]
        return [binding for outer in scopes for binding in self._by_holder.get((outer, entry.selector), ())]

    def component(self, entry: Entry, scope: Scope, location: Location | None = None) -> Component:
        """The component in that scope; one object, however often it is asked for. `location` is where it is named."""
        key = entry.selector, scope
        if key not in self._components:
            self._components[key] = Component(self, entry, scope, location)
        return self._components[key]

    def at(self, use: Use, scope: Scope) -> Component:
        """The component that a reference leads to, if the holder of the reference is in that scope."""
        return self.component(use.entry, use.scopes or use.macro_scope or scope, use.location)

    def _grow(self, path: list[Component]) -> None:
        """Add the last component of a path from the root, and then the components that its values lead to."""
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
        """The root, and every component that any statement refers to. Overridden statements count too."""
        found = dict.fromkeys(list(self.built)[:1])
        waiting = [(statement, statement.scopes) for statement in reversed(self.statements)]
        while waiting:
            statement, scope = waiting.pop()
            for child in (self.at(leaf, scope) for leaf in leaves(statement.value) if isinstance(leaf, Use)):
                if child not in found:
                    found[child] = None
                    waiting += [(inner, child.scope) for inner in reversed(child.statements)]
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
        """The bindings that give their value to something that is built, in the order of reading."""
        used = {binding.key for component in self.built for binding in component.bound.values()}
        return [binding for key, binding in self.effective.items() if key in used]

    def by_component(self) -> dict[Entry, list[Binding]]:
        """The reachable bindings of each component, in the order of building.

        Those of one component are sorted by scope, and then as the parameters stand in the signature.
        """
        found: dict[Entry, list[Binding]] = {component.entry: [] for component in self.built}
        for binding in self.reachable:
            found[self.names.entries[binding.selector]].append(binding)
        for entry, bindings in found.items():
            order = list(parameters(entry))
            bindings.sort(key=lambda binding: (binding.scope, order.index(binding.parameter)))
        return found

    def needed_macros(self, bindings: Iterable[Binding]) -> list[Binding]:
        """The definitions of the macros that these bindings need, in the order of reading."""
        needed = {name for binding in bindings for name in binding.macros}
        return [definition for name, definition in self.macros.items() if name in needed]

    def source(self, binding: Binding) -> Binding:
        """The statement that writes the value of a binding: the definition of a macro, if the value is one macro."""
        macro = binding.value
        return self.source(self.macros[macro.name]) if isinstance(macro, Macro) else binding

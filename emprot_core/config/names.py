"""The names that a config may use, and the component that each stands for.

The rule is gin's: any ending of a full selector will do, if it is the ending of no other.
"""

from collections.abc import Iterable, Iterator
from typing import Any

from gin.selector_map import SelectorMap

from emprot_core import registry
from emprot_core.config.faults import MAX_SHOWN, Faults, Location, did_you_mean, nearest
from emprot_core.config.signature import accepted, bindable, parameters, reference_text
from emprot_core.config.values import Constant
from emprot_core.registry import Entry


class Names:
    """The registered components, and what a misspelt name may have meant. Faults of names are noted in `faults`."""

    def __init__(self, entries: Iterable[Entry], faults: Faults):
        self.entries = {entry.selector: entry for entry in entries}
        self.faults = faults
        self._map = SelectorMap()
        for selector in self.entries:
            self._map[selector] = selector

    def matches(self, name: str) -> list[Entry]:
        """The components that a name may mean: exactly one if all is well."""
        if f"emprot.{name}" in self.entries:  # exact, whatever a plugin adds elsewhere
            return [self.entries[f"emprot.{name}"]]
        return [self.entries[selector] for selector in sorted(self._map.matching_selectors(name))]

    def one(self, name: str) -> Entry | None:
        """The component that a name means; None if there is none, or more than one."""
        found = self.matches(name)
        return found[0] if len(found) == 1 else None

    def find(self, name: str, location: Location, written: str = "") -> Entry | None:
        """The component that a name means. If it does not mean one, that is a fault.

        `written` is the name as the statement has it, with @ and parentheses.
        """
        found = self.matches(name)
        if len(found) > 1:
            choices = ", ".join(entry.short_selector for entry in found)
            self.faults.note("ambiguous", f"{written or name} may be any of {choices}", location, "write one of these")
        elif not found:
            message = f"no component {written or name} is registered"
            self.faults.note("unknown-component", message, location, *self._similar(name))
        return found[0] if len(found) == 1 else None

    def note_if_component(self, name: str, location: Location) -> bool:
        """Note a fault if a value is bound to a component itself. Gives whether it is."""
        if self.one(name) is None:
            return False
        message = f"{name} is a component; a value is bound to one of its parameters"
        self.faults.note("bare-name", message, location, f"{name}.parameter = ...")
        return True

    def filed_as(self, target: Any) -> Entry | None:
        """The component whose class or function this is."""
        return next((entry for entry in self.entries.values() if entry.target is target), None)

    def references(self, *kinds: str) -> list[str]:
        """How gin files refer to the components of these kinds, for example @models.Name()."""
        return [reference_text(entry.kind, entry.name) for entry in self.entries.values() if entry.kind in kinds]

    def constant(self, name: str) -> Constant | None:
        """The constant of gin that %name stands for. The name is its full name, or an ending that no other has."""
        known = registry.gin_constants()
        found = [each for each in known if each == name] or [each for each in known if each.endswith(f".{name}")]
        return Constant(found[0], known[found[0]]) if len(found) == 1 else None

    def with_parameter(self, parameter: str) -> list[str]:
        """`component.parameter` of every component that has it."""
        having = [entry.short_selector for entry in self.entries.values() if parameter in parameters(entry)]
        return [f"{selector}.{parameter}" for selector in having]

    def parameter_advice(self, name: str, entry: Entry, bound: Iterable[str]) -> Iterator[str]:
        """What an unknown parameter may have meant. `bound`: the components that the config binds come first."""
        if self._enough_advice():
            return
        close = [f"{entry.short_selector}.{parameter}" for parameter in nearest(name, bindable(entry))]
        elsewhere = self.with_parameter(name)
        used = [parameter for parameter in elsewhere if parameter.rpartition(".")[0] in bound]
        yield from did_you_mean(close or used or elsewhere[:3])
        yield f"accepted: {accepted(entry)}"
        yield f"defined at {entry.origin}"

    def _similar(self, name: str) -> Iterator[str]:
        """What an unknown name may have meant."""
        if self._enough_advice():
            return
        short = {entry.short_selector: entry.name for entry in self.entries.values()}
        folder, _, last = name.rpartition(".")
        same = [selector for selector, known in short.items() if known.lower() == last.lower()]
        beside = [known for selector, known in short.items() if folder and selector == f"{folder}.{known}"]
        close = [f"{folder}.{known}" for known in nearest(last, beside)] or nearest(name, short)
        alike = nearest(last, short.values())
        similar = [selector for selector, known in short.items() if known in alike]
        yield from did_you_mean(same or close or similar)
        if beside:
            yield f"{folder} has {', '.join(beside)}"
        for module, error in registry.failures().items():
            yield f"perhaps of the plugin {module}, which failed to import: {type(error).__name__}: {error}"

    def _enough_advice(self) -> bool:
        """Looking for similar names takes time. A fault that is not shown needs none."""
        return len(self.faults) >= MAX_SHOWN

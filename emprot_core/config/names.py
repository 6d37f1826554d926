"""Names in gin files resolved to components by gin's rule: any ending of the full selector that fits one alone."""

from collections.abc import Iterable, Iterator

from gin.selector_map import SelectorMap

from emprot_core import registry
from emprot_core.config.faults import Fault, Location, did_you_mean, nearest
from emprot_core.config.signature import parameters
from emprot_core.registry import Entry


class Names:
    """The components that a config may name."""

    def __init__(self, entries: Iterable[Entry]):
        self.entries = {entry.selector: entry for entry in entries}
        self._map = SelectorMap()
        for selector in self.entries:
            self._map[selector] = selector

    def matches(self, name: str) -> list[Entry]:
        """The components that a name may mean: one if all is well."""
        if f"emprot.{name}" in self.entries:  # exact, whatever a plugin adds elsewhere
            return [self.entries[f"emprot.{name}"]]
        return [self.entries[selector] for selector in sorted(self._map.matching_selectors(name))]

    def fault(self, name: str, location: Location, written: str) -> Fault:
        """Why `matches` did not give one component. `written` is the name as the statement has it."""
        found = self.matches(name)
        if found:
            choices = ", ".join(entry.short_selector for entry in found)
            return Fault("ambiguous", f"{written} may be any of {choices}", location, ("write one of these",))
        return Fault("unknown-component", f"no component {written} is registered", location, tuple(self._advice(name)))

    def with_parameter(self, parameter: str) -> list[str]:
        """`component.parameter` of every component that has it."""
        return [
            f"{entry.short_selector}.{parameter}" for entry in self.entries.values() if parameter in parameters(entry)
        ]

    def _advice(self, name: str) -> Iterator[str]:
        short = {entry.short_selector: entry.name for entry in self.entries.values()}
        last = name.split(".")[-1]
        same = [selector for selector, known in short.items() if known.lower() == last.lower()]
        similar = [selector for selector, known in short.items() if known in nearest(last, short.values())]
        yield from did_you_mean(same or nearest(name, short) or similar)
        folder = name.rpartition(".")[0]
        known = [selector.rpartition(".")[2] for selector in short if selector.rpartition(".")[0] == folder]
        if folder and known:
            yield f"{folder} has {', '.join(known)}"
        for module, error in registry.failures().items():
            yield f"the plugin {module} failed to import: {type(error).__name__}: {error}"

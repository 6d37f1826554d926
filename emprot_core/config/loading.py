"""A configuration: read, checked as a whole, and then a value that builds what it says."""

from collections.abc import Collection, Sequence
from dataclasses import replace
from typing import Any

from emprot_core.config import snapshot
from emprot_core.config.bindings import Bindings, Node
from emprot_core.config.build import Builder
from emprot_core.config.check import check
from emprot_core.config.faults import ConfigError, Fault, Location
from emprot_core.config.files import Source, read, read_back
from emprot_core.config.imports import Imported, import_all, only_registered
from emprot_core.config.names import Names
from emprot_core.config.values import Constant
from emprot_core.errors import EmprotError


class Config:
    """A checked configuration. Several may live at once: none of them changes anything global."""

    def __init__(
        self, files: Sequence[str], bindings: Bindings, modules: Sequence[str], warnings: Sequence[Fault] = ()
    ):
        self.files = tuple(files)
        self.bindings = bindings
        self.warnings = tuple(warnings)
        self.modules = tuple(modules)
        self._names = Names(bindings.entries.values())
        self._builder = Builder(bindings)

    def parameters(self, selector: str, lazy: Collection[str] = ()) -> dict[str, Any]:
        """The bound values of a component, references built.

        Args:
            selector: the component, for example "run".
            lazy: parameters that come as a callable without arguments, which builds the value when called.

        Raises:
            ValueError: there is no such component, or what is being built raises it.
        """
        return self._builder.arguments(Node(self._selector(selector), ()), lazy)

    def build(self, key: str) -> Any:
        """The built value of one bound parameter, for example "Trainer.model".

        Raises:
            ValueError: it is not bound, or what is being built raises it.
        """
        node, parameter = self._parse_key(key)
        binding = self.bindings.of(node).get(parameter)
        if binding is None:
            raise EmprotError(f"{key} is not bound in {', '.join(self.files)}; bind it: {key} = ...")
        return self._builder.value(binding, node.scope)

    def get(self, key: str, default: Any = None) -> Any:
        """The value of a bound parameter as written, macros inlined, references as such; else the default."""
        node, parameter = self._parse_key(key)
        binding = self.bindings.of(node).get(parameter)
        if binding is None:
            return default
        value = self.bindings.inlined(binding.value)
        return value.value if isinstance(value, Constant) else value

    def macros(self) -> dict[str, Any]:
        """The value of every macro as written, other macros inlined."""
        named = {binding.parameter: binding.value for binding in self.bindings.effective.values() if binding.is_macro}
        return {name: self.bindings.inlined(value) for name, value in named.items()}

    def text(self) -> str:
        """The config as one flat gin text that can be fed back; without run.directory."""
        return snapshot.text(self.bindings, self.modules)

    def operative_text(self) -> str:
        """What was built so far: every parameter of every component with its value, defaults included."""
        return snapshot.operative_text(self.bindings, self._builder.built)

    def digest(self) -> str:
        """SHA-256 of what would be built, less run.directory, run.device and run.allow_config_change."""
        return snapshot.digest(self.bindings)

    def flat(self) -> dict[str, str]:
        """`component.parameter` -> value as text, macros inlined, of everything that would be built."""
        return snapshot.flat(self.bindings)

    def difference(self, other: "Config") -> list[str]:
        """What changes from this config to the other, a line each: "Trainer.max_epochs: 6 -> 10"."""
        return snapshot.difference(self.bindings, other.bindings)

    def _parse_key(self, key: str) -> tuple[Node, str]:
        *scopes, name = key.split("/")
        component, _, parameter = name.rpartition(".")
        return Node(self._selector(component), tuple(scopes)), parameter

    def _selector(self, name: str) -> str:
        found = self._names.matches(name)
        if len(found) != 1:
            raise EmprotError(f"{name!r} names no component; registered: {', '.join(self.bindings.entries)}")
        return found[0].selector


def load(
    files: Sequence[str],
    bindings: Sequence[str] = (),
    search_paths: Sequence[str] = (),
    allow_unused: bool = False,
    plugins: Sequence[str] = (),
    overrides: Sequence[str] = (),
) -> Config:
    """The configuration of these gin files, then these bindings, then these overrides; later statements win.

    Args:
        files: names of gin files, looked for in the current directory, the search paths and the shipped configs.
        bindings: gin text each, for example "Trainer.max_epochs = 3".
        search_paths: more directories to look for gin files in.
        allow_unused: report bindings that nothing uses in `warnings` instead of refusing them.
        plugins: modules to import first.
        overrides: one binding each, where a word without quotes is a string if its parameter takes one: run.device=cpu.

    Raises:
        ConfigError: with every fault of every file; nothing was built or changed.
    """
    source = read(files, bindings, overrides, search_paths)
    imported = import_all(plugins, source.imports)
    return _checked(files, source, imported, Location(files[0] if files else "--gin_bindings"), allow_unused)


def load_text(text: str, name: str = "config.gin") -> Config:
    """The configuration of a text that a run wrote. It may import registered plugins only, and include no file.

    Raises:
        ConfigError: with every fault.
    """
    source = read_back(text, name)
    return _checked([name], source, only_registered(source.imports), Location(name), allow_unused=False)


def _checked(files: Sequence[str], source: Source, imported: Imported, where: Location, allow_unused: bool) -> Config:
    bindings, faults = check(source, imported, where)
    warnings: list[Fault] = []
    if allow_unused:
        warnings = [replace(fault, severity="warning") for fault in faults if fault.code == "unused"]
        faults = [fault for fault in faults if fault.code != "unused"]
    if faults:
        raise ConfigError(faults)
    return Config(files, bindings, imported.modules, warnings)

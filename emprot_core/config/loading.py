"""A configuration: read, checked as a whole, and then a value that builds what it says."""

from collections.abc import Collection, Sequence
from dataclasses import replace as changed
from typing import Any

from emprot_core import registry
from emprot_core.config import snapshot
from emprot_core.config.build import Builder
from emprot_core.config.check import check
from emprot_core.config.faults import ConfigError, Fault, Location
from emprot_core.config.files import Source, read, read_back
from emprot_core.config.imports import import_all, only_registered
from emprot_core.config.names import Names
from emprot_core.config.tree import Component, Tree
from emprot_core.config.values import Constant, replace
from emprot_core.errors import EmprotError


class Config:
    """A checked configuration. Several may live at once: none of them changes anything global."""

    def __init__(self, files: Sequence[str], tree: Tree, modules: Sequence[str], warnings: Sequence[Fault] = ()):
        self.files = tuple(files)
        self.tree = tree
        self.modules = tuple(modules)
        self.warnings = tuple(warnings)
        self._builder = Builder(tree)

    def parameters(self, selector: str, lazy: Collection[str] = ()) -> dict[str, Any]:
        """The bound values of a component, references built.

        Args:
            selector: the component, for example "run".
            lazy: parameters that come as a callable without arguments, which builds the value when called.

        Raises:
            ValueError: there is no such component, or what is being built raises it.
        """
        return self._builder.arguments(self._component(selector), lazy)

    def build(self, key: str) -> Any:
        """The built value of one bound parameter, for example "Trainer.model".

        Raises:
            ValueError: it is not bound, or what is being built raises it.
        """
        holder, _, parameter = key.rpartition(".")
        component = self._component(holder)
        if parameter not in component.bound:
            raise EmprotError(f"{key} is not bound in {', '.join(self.files)}; bind it: {key} = ...")
        return self._builder.value(component, parameter)

    def get(self, key: str, default: Any = None) -> Any:
        """The value of a bound parameter as written, macros inlined, references as such; else the default."""
        holder, _, parameter = key.rpartition(".")
        binding = self._component(holder).bound.get(parameter)
        if binding is None:
            return default
        return replace(binding.meaning, lambda leaf: leaf.value if isinstance(leaf, Constant) else leaf)

    def macros(self) -> dict[str, Any]:
        """The value of every macro as written, other macros inlined."""
        return {name: binding.meaning for name, binding in self.tree.macros.items()}

    def text(self) -> str:
        """The config as one flat gin text that can be fed back; without run.directory."""
        return snapshot.text(self.tree, self.modules)

    def operative_text(self) -> str:
        """What was built so far: every parameter of every component with its value, defaults included."""
        return snapshot.operative_text(self._builder.built)

    def digest(self) -> str:
        """SHA-256 of what would be built, less run.directory, run.device and run.allow_config_change."""
        return snapshot.digest(self.tree)

    def flat(self) -> dict[str, str]:
        """`component.parameter` -> value as text, macros inlined, of everything that would be built."""
        return snapshot.flat(self.tree)

    def difference(self, other: "Config") -> list[str]:
        """What changes from this config to the other, a line each: "Trainer.max_epochs: 6 -> 10"."""
        return snapshot.difference(self.tree, other.tree)

    def _component(self, name: str) -> Component:
        """The component of a name like x/Trainer, in that scope."""
        *scopes, selector = name.split("/")
        entry = self.tree.names.one(selector)
        if entry is None:
            raise EmprotError(f"{selector!r} names no component; registered: {', '.join(self.tree.names.entries)}")
        return self.tree.component(entry, tuple(scopes))


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
    modules = import_all(plugins, source.imports, source.faults)
    return _checked(files, source, modules, Location(files[0] if files else "--gin_bindings"), allow_unused)


def load_text(text: str, name: str = "config.gin") -> Config:
    """The configuration of a text that a run wrote. It may import registered plugins only, and include no file.

    Raises:
        ConfigError: with every fault.
    """
    source = read_back(text, name)
    modules = only_registered(source.imports, source.faults)
    return _checked([name], source, modules, Location(name), allow_unused=False)


def _checked(
    files: Sequence[str], source: Source, modules: Sequence[str], where: Location, allow_unused: bool
) -> Config:
    """`where` is the place of a fault of the whole config."""
    tree = Tree(source.bindings, Names(registry.entries(), source.faults))
    if source.bindings or not source.faults:  # else nothing could be read, and everything would be missing
        check(tree, where)
    once = dict.fromkeys(source.faults)  # a file may be included twice
    faults = sorted(once, key=lambda fault: source.position(fault.location))
    warnings: list[Fault] = []
    if allow_unused:
        warnings = [changed(fault, severity="warning") for fault in faults if fault.code == "unused"]
        faults = [fault for fault in faults if fault.code != "unused"]
    if faults:
        raise ConfigError(faults)
    return Config(files, tree, modules, warnings)

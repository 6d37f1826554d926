"""From gin files to a configuration: read all files, import plugins, grow the tree, check it."""

from collections.abc import Sequence
from dataclasses import replace

from emprot_core import registry
from emprot_core.config.check import check
from emprot_core.config.configuration import Config
from emprot_core.config.faults import ConfigError, Fault, Location
from emprot_core.config.files import Source, read, read_back
from emprot_core.config.imports import import_all, only_registered
from emprot_core.config.names import Names
from emprot_core.config.tree import Tree


def load(
    files: Sequence[str],
    bindings: Sequence[str] = (),
    search_paths: Sequence[str] = (),
    allow_unused: bool = False,
    plugins: Sequence[str] = (),
    overrides: Sequence[str] = (),
) -> Config:
    """The configuration of gin files, then bindings, then overrides. Later statements win.

    Args:
        files: names of gin files, looked for in the current directory, the search paths and the shipped configs.
        bindings: gin text each, for example "Trainer.max_epochs = 3".
        search_paths: more directories to look for gin files in.
        allow_unused: report bindings that nothing uses in `warnings` instead of refusing them.
        plugins: modules to import first.
        overrides: one binding each. A word without quotes is a string if its parameter takes one: run.device=cpu.

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
    """The configuration of what was read. `where` is the location of a fault that belongs to no line.

    Raises:
        ConfigError: something was noted in `source.faults`, on the way here or in here.
    """
    try:
        tree = Tree(source.bindings, Names(registry.entries(), source.faults))
        if source.bindings or not source.faults:  # else nothing could be read, and everything would be missing
            check(tree, where)
    except RecursionError:  # brackets in macros in brackets: each alone is within its bound
        source.faults.note("too-large", "values are nested too deeply within each other", where)
        raise ConfigError(source.faults) from None
    once = dict.fromkeys(source.faults)  # a file may be included twice
    faults = sorted(once, key=lambda fault: source.position(fault.location))
    warnings: list[Fault] = []
    if allow_unused:
        warnings = [replace(fault, severity="warning") for fault in faults if fault.code == "unused"]
        faults = [fault for fault in faults if fault.code != "unused"]
    if faults:
        raise ConfigError(faults)
    return Config(files, tree, modules, warnings)

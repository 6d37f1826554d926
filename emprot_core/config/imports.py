"""Plugin modules that a config or the command line names are imported once everything is read."""

import os
import sys
import traceback
from collections.abc import Iterator, Sequence
from pathlib import Path

from emprot_core import registry
from emprot_core.config.faults import Faults, Location, did_you_mean, nearest
from emprot_core.config.statements import Import


def import_all(plugins: Sequence[str], imports: Sequence[Import], faults: Faults) -> list[str]:
    """Import the plugins of the command line, with all modules of a package, and what gin files import.

    Gives the names of the modules. What cannot be imported is a fault.
    """
    if (plugins or imports) and os.getcwd() not in sys.path:
        # A console script lacks the current directory, which `python -m` has. Last: it must not shadow a package.
        sys.path.append(os.getcwd())
    registry.load_plugins()
    modules = []
    for module in plugins:
        modules += registry.import_plugin(module)
        _note_failure(Import(module, Location(f"--plugin={module}")), faults)
    for statement in imports:
        if statement.module.startswith("__gin__"):
            message = f"{statement.module} changes gin's language, which is not supported"
            help = "register components with emprot_core.registry.register"
            faults.note("import", message, statement.location, help)
            continue
        modules += registry.import_module(statement.module)
        _note_failure(statement, faults)
    return list(dict.fromkeys(modules))


def only_registered(imports: Sequence[Import], faults: Faults) -> list[str]:
    """The modules that a text read back from a checkpoint imports. All must be registered, so that it runs no code."""
    for statement in imports:
        module = statement.module
        if module not in registry.plugins():
            message = f"{module} is no registered plugin, and a config read back may import no other module"
            help = f'if you trust it: --plugin={module}, or registry.import_plugin("{module}") before'
            faults.note("import", message, statement.location, help)
    return [statement.module for statement in imports]


def _note_failure(statement: Import, faults: Faults) -> None:
    failed = registry.failures().get(statement.module)
    if failed is not None:
        message = f"import {statement.module} failed: {type(failed).__name__}: {failed}"
        faults.note("import", message, statement.location, *_advice(statement.module, failed))


def _advice(module: str, error: Exception) -> Iterator[str]:
    if isinstance(error, ModuleNotFoundError) and error.name and module.startswith(error.name):
        yield from did_you_mean(nearest(module, [path.stem for path in Path.cwd().glob("*.py")]))
        yield f"looked in the installed packages and in {os.getcwd()}"
        return
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if "importlib" not in frame.filename]
    if isinstance(error, SyntaxError):
        yield f"at {error.filename}:{error.lineno}"
    elif frames[1:]:
        yield f"raised at {frames[-1].filename}:{frames[-1].lineno}"

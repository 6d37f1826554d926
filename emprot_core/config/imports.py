"""Imports of plugin modules that a config or the command line names. They follow when all files are read."""

import os
import sys
import traceback
from collections.abc import Iterator, Sequence
from pathlib import Path

from emprot_core import registry
from emprot_core.config.faults import Faults, Location, did_you_mean, nearest
from emprot_core.config.statements import Import
from emprot_core.errors import EmprotError


def import_all(plugins: Sequence[str], imports: Sequence[Import], faults: Faults) -> list[str]:
    """Import the plugins of the command line, then the modules that gin files import. Gives their names.

    Of a plugin that is a package, all modules are imported. A module that cannot be imported is a fault.
    """
    if (plugins or imports) and os.getcwd() not in sys.path:
        # `python -m` has the current directory on the path; a console script has not. It comes last, so that no file
        # in it shadows a package.
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
    """The modules that a text from a run imports. Nothing is imported here.

    A module that is not registered yet is a fault, so that the text cannot run code.
    """
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
        told = f"{failed}" if isinstance(failed, EmprotError) else f"{type(failed).__name__}: {failed}"
        message = f"import {statement.module} failed: {told}"
        faults.note("import", message, statement.location, *_advice(statement.module, failed))


def _advice(module: str, error: Exception) -> Iterator[str]:
    if isinstance(error, ModuleNotFoundError) and error.name and module.startswith(error.name):
        yield from did_you_mean(nearest(module, [path.stem for path in Path.cwd().glob("*.py")]))
        yield f"looked in the installed packages and in {os.getcwd()}"
        return
    ours = ("importlib", registry.__file__)
    frames = [each for each in traceback.extract_tb(error.__traceback__) if not any(o in each.filename for o in ours)]
    if isinstance(error, SyntaxError):
        yield f"at {error.filename}:{error.lineno}"
    elif frames:
        yield f"raised at {frames[-1].filename}:{frames[-1].lineno}"

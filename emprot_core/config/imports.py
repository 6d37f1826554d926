"""Plugin modules that a config or the command line names are imported once everything is read."""

import os
import sys
import traceback
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from emprot_core import registry
from emprot_core.config.faults import Fault, Location, did_you_mean, nearest
from emprot_core.config.statements import Import


@dataclass
class Imported:
    """Modules that a config needs, in their order, those that could not be imported, and what went wrong."""

    modules: list[str] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)


def import_all(plugins: Sequence[str], imports: Sequence[Import]) -> Imported:
    """Import the plugins of the command line, with all modules of a package, and what gin files import."""
    if (plugins or imports) and os.getcwd() not in sys.path:
        # A console script lacks the current directory, which `python -m` has. Last: it must not shadow a package.
        sys.path.append(os.getcwd())
    registry.load_plugins()
    result = Imported()
    for module in plugins:
        result.modules += registry.import_plugin(module)
        _note_failure(Import(module, Location(f"--plugin={module}")), result)
    for statement in imports:
        if statement.module.startswith("__gin__"):
            message = f"{statement.module} changes gin's language, which is not supported"
            advice = "register components with emprot_core.registry.register"
            result.faults.append(Fault("import", message, statement.location, (advice,)))
            continue
        result.modules += registry.import_module(statement.module)
        _note_failure(statement, result)
    result.modules = list(dict.fromkeys(result.modules))
    return result


def only_registered(imports: Sequence[Import]) -> Imported:
    """What a text read back from a checkpoint imports: plugins that are registered already, so that it runs no code."""
    known = registry.plugins()
    result = Imported()
    for statement in imports:
        if statement.module in known:
            result.modules.append(statement.module)
            continue
        message = f"{statement.module} is no registered plugin, and a config read back may import no other module"
        advice = f'if you trust it: --plugin={statement.module}, or registry.import_plugin("{statement.module}") before'
        result.faults.append(Fault("import", message, statement.location, (advice,)))
    return result


def _note_failure(statement: Import, result: Imported) -> None:
    failed = registry.failures().get(statement.module)
    if failed is not None:
        result.failed.append(statement.module)
        message = f"import {statement.module} failed: {type(failed).__name__}: {failed}"
        result.faults.append(Fault("import", message, statement.location, tuple(_advice(statement.module, failed))))


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

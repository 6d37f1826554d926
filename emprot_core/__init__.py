"""EMPROT: train, compare and judge forecasters of protein dynamics.

The public names are imported when they are first used, so that `import emprot_core` needs neither torch nor gin.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from emprot_core.hooks.base import Hook
    from emprot_core.jobs.load import load_run
    from emprot_core.jobs.python import forecast, report, run
    from emprot_core.registry import register

__version__ = "0.1.0"
__all__ = ["Hook", "forecast", "load_run", "register", "report", "run"]

_HOMES = {
    "Hook": "emprot_core.hooks.base",
    "forecast": "emprot_core.jobs.python",
    "load_run": "emprot_core.jobs.load",
    "register": "emprot_core.registry",
    "report": "emprot_core.jobs.python",
    "run": "emprot_core.jobs.python",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])

"""Which code made a result: the version of EMPROT, and the commit of the folder that holds the experiment."""

import platform
import subprocess
from importlib.metadata import version
from pathlib import Path
from typing import Any


def code_version(gin_file: str) -> dict[str, Any]:
    """{"version", "commit", "dirty"}: EMPROT's version, and what git says of the folder of a gin file.

    commit and dirty are None if there is no such folder, or git cannot tell.
    """
    code: dict[str, Any] = {"version": version("emprot"), "commit": None, "dirty": None}
    path = Path(gin_file)
    if path.is_file():
        code["commit"] = _git(path.parent, "rev-parse", "HEAD")
    if code["commit"]:
        status = _git(path.parent, "status", "--porcelain")
        code["dirty"] = None if status is None else bool(status)
    return code


def versions() -> dict[str, str]:
    """The versions of Python and packages that a result was made with."""
    packages = ("emprot", "torch", "numpy", "gin-config")
    return {"python": platform.python_version(), **{name: version(name) for name in packages}}


def _git(folder: Path, *arguments: str) -> str | None:
    try:
        done = subprocess.run(
            ["git", "-C", str(folder.absolute()), *arguments], capture_output=True, text=True, timeout=10, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None

"""Hands a run to the launcher that its config binds."""

import os
import sys
from collections.abc import Sequence
from pathlib import Path

from emprot_core.config import Config
from emprot_core.contracts import LAUNCHED, Launcher
from emprot_core.disk import make_directory


def launch(config: Config, directory: Path, arguments: Sequence[str]) -> str | None:
    """Submit the command line to run.launcher; None if the run is to be done here.

    Args:
        arguments: of emprot-run, as they were given.

    Returns:
        What was started, for a person.
    """
    if LAUNCHED in os.environ or "RANK" in os.environ or (launcher := launcher_of(config)) is None:
        return None
    make_directory(directory)
    own = [*(each for each in arguments if each != "--fresh"), f"run.directory={str(directory)!r}"]
    start = run_command if getattr(config.target("run.job"), "starts_runs", False) else launcher.command
    return launcher.submit(start(own), directory)


def run_command(arguments: list[str]) -> list[str]:
    """The command line of emprot-run in one process, with this Python."""
    return [sys.executable, "-m", "emprot_core", *arguments]


def launcher_of(config: Config) -> Launcher | None:
    """What run.launcher is bound to."""
    return config.build("run.launcher") if config.get("run.launcher") is not None else None

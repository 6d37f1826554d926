"""What a run does, and where it is started."""

from pathlib import Path
from typing import Any, Protocol

LAUNCHED = "EMPROT_LAUNCHED"
"""The environment variable that a launcher sets: the process does the run instead of launching it again."""


class Job(Protocol):
    """The work of a run: what a gin file binds to `run.job`."""

    def run(self, context: Any) -> int | None:
        """Do the work. `context`, a jobs.context.RunContext, describes the run. Gives the exit status; None means 0."""


class Launcher(Protocol):
    """Starts the processes of a run somewhere: what a gin file binds to `run.launcher`.

    It sets the environment variable LAUNCHED for what it starts.
    """

    def command(self, arguments: list[str]) -> list[str]:
        """The command line that does `emprot-run ARGUMENTS` once, with torchrun for several ranks."""

    def submit(self, command: list[str], directory: Path) -> str:
        """Start a command, and give a sentence about it for a person: what was started, and how to watch it."""

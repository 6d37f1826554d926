"""What a run does, and where it is started."""

from concurrent import futures
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

LAUNCHED = "EMPROT_LAUNCHED"
"""The environment variable that a launcher sets: the process does the run instead of launching it again."""


class Job(Protocol):
    """The work of a run: what a gin file binds to `run.job`."""

    def run(self, context: Any) -> int | None:
        """Do the work. `context`, a jobs.context.RunContext, describes the run. Gives the exit status; None means 0."""


@runtime_checkable
class MergesShards(Protocol):
    """A job that may be done in shards, each a process of its own, which it joins in the end."""

    def merge(self, context: Any) -> int | None:
        """Join what the shards have made. As Job.run."""


class Launcher(Protocol):
    """Starts the processes of a run somewhere: what a gin file binds to `run.launcher`.

    It sets the environment variable LAUNCHED for what it starts.
    """

    def command(self, arguments: list[str]) -> list[str]:
        """The command line that does `emprot-run ARGUMENTS` once, with torchrun for several ranks."""

    def submit(self, command: list[str], directory: Path) -> str:
        """Start a command, and give a sentence about it for a person: what was started, and how to watch it."""


class Executor(Protocol):
    """Starts the workers that share the tasks of a Prepare.

    A task and its result travel by pickle, the modules of its parts can be imported where it runs, and all workers see
    the same disk. A task whose worker is lost may run again, even while the first one still runs. A future raises
    nothing but the executor's own errors; its task then counts as lost, and runs once more, alone.
    """

    def start(self) -> AbstractContextManager[futures.Executor]:
        """The workers, from the beginning of the `with` block to its end. It may be called again after that."""

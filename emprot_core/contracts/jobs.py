"""What a run does."""

from typing import Any, Protocol


class Job(Protocol):
    """The work of a run: what a gin file binds to `run.job`."""

    def run(self, context: Any) -> int | None:
        """Do the work. `context`, a jobs.context.RunContext, describes the run. Gives the exit status; None means 0."""

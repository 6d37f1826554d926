"""What a run does."""

from typing import Any, Protocol


class Job(Protocol):
    """What a gin file can ask for (`run.job`)."""

    def run(self, context: Any) -> int | None:
        """Do it, told of the run by a jobs.context.RunContext; gives the exit status, None for 0."""

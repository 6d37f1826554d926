"""A job: what a run does. jobs.Train is one."""

import logging
from typing import Any

from emprot_core import register

log = logging.getLogger("emprot")


@register("job")
class TemplateJob:
    """Says hello."""

    def __init__(self, greeting: str = "hello"):
        """
        Args:
            greeting: what it says.
        """
        self.greeting = greeting

    def run(self, context: Any) -> int:
        """
        Args:
            context: an emprot_core.jobs.context.RunContext: the run's directory, device, seed and config.
        """
        log.info("%s from %s", self.greeting, context.directory)
        return 0

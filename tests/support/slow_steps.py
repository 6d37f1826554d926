"""A hook that makes the steps of a run slow, for tests that interrupt it."""

import time

from emprot_core import Hook, register


@register("hook")
class SlowSteps(Hook):
    """Waits in every step, so that a run takes the time that a test needs."""

    def __init__(self, seconds: float = 0.2):
        self.seconds = seconds

    def on_step_end(self, trainer) -> None:
        time.sleep(self.seconds)

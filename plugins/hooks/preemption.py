"""Ends a run in good order when the machine or the user asks for it."""

import os
import signal
import threading
import time
from types import FrameType

from emprot_core.hooks.base import Hook, TrainerView
from emprot_core.registry import register

EXIT_STATUS = {signal.SIGINT: 130, signal.SIGTERM: 143, signal.SIGUSR1: 143, signal.SIGHUP: 129}
ONE_EVENT_S = 1.0
"""A launcher and a scheduler may both send a signal. Within this time the second one is ignored, except Ctrl-C."""


@register("hook")
class Preemption(Hook):
    """On SIGTERM, SIGUSR1, Ctrl-C or SIGHUP (a terminal that closes): finish the step, save, exit (143, 143, 130, 129).

    A second signal exits at once.

    It is enough that one rank gets the signal: when one asks for a stop, the trainer stops all of them.
    """

    def __init__(self) -> None:
        self._received: int | None = None
        self._received_at = 0.0
        self._previous: dict[int, object] = {}

    def on_fit_start(self, trainer: TrainerView) -> None:
        self._received = None
        if threading.current_thread() is threading.main_thread():
            self._previous = {number: signal.signal(number, self._handle) for number in EXIT_STATUS}

    def on_step_end(self, trainer: TrainerView) -> None:
        if self._received is not None:
            status = EXIT_STATUS[signal.Signals(self._received)]
            trainer.request_stop(
                f"{'interrupted' if status == 130 else 'preempted'} by signal {self._received}", status
            )

    on_validation_step_end = on_step_end

    def on_fit_end(self, trainer: TrainerView) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)  # type: ignore[arg-type]
        self._previous = {}

    on_exception = on_fit_end

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if self._received is None:
            self._received, self._received_at = number, time.monotonic()
        elif number == signal.SIGINT or time.monotonic() - self._received_at > ONE_EVENT_S:
            os._exit(EXIT_STATUS[signal.Signals(number)])

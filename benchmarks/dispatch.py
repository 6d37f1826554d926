"""What it costs to tell hooks of an event."""

import statistics
import time
from typing import Any

from benchmarks.targets import target
from benchmarks.timing import spread
from emprot_core.hooks.base import Hook
from emprot_core.hooks.hook_list import HookList


def measure(num_events: int = 20_000, num_rounds: int = 9) -> dict[str, Any]:
    """An event that ten hooks handle, and one that none of ten hooks does."""

    class Handles(Hook):
        def on_step_end(self, trainer: Any) -> None:
            pass

    hooks = HookList([Handles() for _ in range(10)])
    times = {}
    for name, event in (("10 hooks", "on_step_end"), ("nobody", "on_step_start")):
        rounds = []
        for _ in range(num_rounds):
            start = time.process_time()
            for _ in range(num_events):
                hooks.emit(event, None)  # type: ignore[arg-type]
            rounds.append((time.process_time() - start) / num_events)
        times[name] = rounds
    return {
        "name": "dispatch of an event",
        "times": {name: spread(rounds) for name, rounds in times.items()},
        "ratios": {},
        "targets": [target("dispatch to 10 hooks, us", 2.0, 1e6 * statistics.median(times["10 hooks"]))],
    }

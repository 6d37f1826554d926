"""What comes before the first step: imports over torch's own, construction, commands, and the opening of a store.

Every figure is the time of a fresh process, by that process's own clock.
"""

import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import torch

from benchmarks.interleave import median_ratio
from benchmarks.loop import emprot, hand_written
from benchmarks.scaling_works import first_batch
from benchmarks.targets import STARTUP, target
from benchmarks.timing import in_fresh_process, spread, time_once
from benchmarks.tiny import Problem, TinyModel, make_batches

NUM_REPEATS = 5
COMMAND = "import sys; from emprot_core.cli import main; sys.exit(main({}))"
YARDSTICK, IMPORT = "import torch", "import of emprot_core over torch"
STARTS = {
    YARDSTICK: "import torch",
    "--help": COMMAND.format(["--help"]),
    "--check of base.gin": COMMAND.format(["--gin_file=base.gin", "--check"]),
}
FIRST_BATCH = "first batch of a million trajectories"


def run(device: str) -> Iterator[dict[str, Any]]:
    """Records of imports, of construction, and of starts beside `import torch`."""
    yield measure_imports()
    yield measure_construction()
    yield measure_starts()


def measure_imports() -> dict[str, Any]:
    pairs = [import_seconds() for _ in range(NUM_REPEATS)]
    times = {"torch": [pair[0] for pair in pairs], "emprot_core and its trainer over it": [pair[1] for pair in pairs]}
    added_ms = 1e3 * statistics.median(times["emprot_core and its trainer over it"])
    return {
        "name": "import",
        "times": {name: spread(seconds) for name, seconds in times.items()},
        "ratios": {},
        "targets": [target("import of emprot_core over torch, ms", 50.0, added_ms)],
    }


def import_seconds() -> tuple[float, float]:
    """Process time of `import torch` and of emprot_core with its trainer after it, each in a process of its own."""
    text = (
        "import time; a = time.process_time(); import torch; b = time.process_time(); "
        "import emprot_core, emprot_core.training; print(b - a, time.process_time() - b)"
    )
    command = [sys.executable, "-c", text]
    first, second = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
    return float(first), float(second)


def measure_construction() -> dict[str, Any]:
    loops = {"hand-written": hand_written, "EMPROT": emprot}
    times = {name: [in_fresh_process(seconds_to_first_step, name) for _ in range(NUM_REPEATS)] for name in loops}
    return {
        "name": "from the model to the first step",
        "times": {name: spread(seconds) for name, seconds in times.items()},
        "ratios": {},
    }


def seconds_to_first_step(name: str) -> float:
    """Process time from a built model to the end of a run of one step.

    A hand-written step goes before, so that what torch imports at its first step is left out.
    """
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as directory:
        hand_written(Problem(TinyModel(32, 4), make_batches(1)), Path(directory) / "before")
        problem = Problem(TinyModel(32, 4), make_batches(1))
        start = time.process_time()
        {"hand-written": hand_written, "EMPROT": emprot}[name](problem, Path(directory))
        return time.process_time() - start


def measure_starts(num_rounds: int = NUM_REPEATS, num_trajectories: int = 1_000_000) -> dict[str, Any]:
    """Process time of whole starts, and the part of it that is ours, in times of `python -c 'import torch'`.

    The first batch of a store counts from its opening; its files were hashed before, as at every start but the first.
    """
    seconds: dict[str, list[float]] = {name: [] for name in (*STARTS, IMPORT, FIRST_BATCH)}
    with ExitStack() as files:
        open_store = first_batch(num_trajectories, files)
        open_store()
        for _ in range(num_rounds):
            for name, code in STARTS.items():
                seconds[name].append(seconds_of(code))
            seconds[IMPORT].append(import_seconds()[1])
            seconds[FIRST_BATCH].append(time_once(open_store, torch.device("cpu")))
    torch_s = seconds[YARDSTICK]
    ratios = {
        f"{name} / {YARDSTICK}": median_ratio(values, torch_s) for name, values in seconds.items() if name != YARDSTICK
    }
    return {
        "name": "starts",
        "times": {name: spread(values) for name, values in seconds.items()},
        "ratios": ratios,
        "targets": [target(what, STARTUP[what], ratio) for what, ratio in ratios.items()],
    }


def seconds_of(code: str) -> float:
    """Process time of Python with this code, its imports included."""
    text = f"import time, atexit; atexit.register(lambda: print(time.process_time())); {code}"
    output = subprocess.run([sys.executable, "-c", text], capture_output=True, text=True, check=True).stdout
    return float(output.split()[-1])

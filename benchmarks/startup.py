"""What comes before the first step: imports over torch's own, construction, and the check of a config.

Every figure is the time of a fresh process, by that process's own clock.
"""

import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import torch

from benchmarks.loop import emprot, hand_written
from benchmarks.targets import target
from benchmarks.timing import in_fresh_process, spread
from benchmarks.tiny import Problem, TinyModel, make_batches

NUM_REPEATS = 5
CHECK = "import sys; from emprot_core.cli import main; sys.exit(main(['--gin_file=base.gin', '--check']))"


def run(device: str) -> list[dict[str, Any]]:
    """Records of imports, of construction and of --check."""
    return [measure_imports(), measure_construction(), measure_check()]


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


def measure_check() -> dict[str, Any]:
    times = [seconds_of_check() for _ in range(NUM_REPEATS)]
    return {"name": "emprot-run --gin_file=base.gin --check", "times": {"whole process": spread(times)}, "ratios": {}}


def seconds_of_check() -> float:
    """Process time of the command, its imports included."""
    text = f"import time, atexit; atexit.register(lambda: print(time.process_time())); {CHECK}"
    output = subprocess.run([sys.executable, "-c", text], capture_output=True, text=True, check=True).stdout
    return float(output.split()[-1])

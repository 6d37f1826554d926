"""python -m benchmarks --suite NAME|all --device cpu|cuda [--output FOLDER] [--budget_s S], or --compare A.json B.json

Every suite runs in its own process and writes <device>-<suite>.json; RESULTS.md and pictures are made of them.
A suite that fails, or that the budget cuts short, leaves what it measured until then and says so in its file.
"""

import argparse
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import torch

from benchmarks.measured import add_error, measure_suite
from benchmarks.pictures import write_pictures
from benchmarks.report import compare, write_report

SUITES = {  # in the order in which they are run: what is worth most comes first
    "cpu": ("attention", "loss", "step", "loop", "loader", "startup", "tokenizers", "e2e", "scaling"),
    "cuda": ("step_forms", "loss", "attention", "step", "loader", "tokenizers", "e2e"),
}
"""On CUDA only those that use the device."""
BUDGETS_S = {"cpu": None, "cuda": 460.0}
"""By default: machines with a GPU are lent for minutes."""
LEAST_S = 15.0
"""With less time left, a suite is not begun."""
HERE = Path(__file__).parent
RESULTS = HERE / "results"


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description="Time EMPROT's parts on this machine.")
    names = sorted({suite for suites in SUITES.values() for suite in suites})
    parser.add_argument("--suite", choices=(*names, "all"), default="all")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument(
        "--output",
        type=Path,
        default=RESULTS,
        help="folder of the JSON files, pages and pictures; RESULTS.md lies there too, but beside benchmarks/results",
    )
    parser.add_argument(
        "--budget_s",
        type=float,
        help=f"seconds that --suite all may take; by default {BUDGETS_S['cuda']:g} on CUDA, any number on a CPU",
    )
    parser.add_argument("--compare", nargs=2, type=Path, metavar=("A", "B"), help="two JSON files of one suite")
    parser.add_argument("--report", action="store_true", help="only write pages and pictures again, from the files")
    arguments = parser.parse_args()
    if arguments.compare:
        if missing := [path for path in arguments.compare if not path.is_file()]:
            parser.error(f"{missing[0]} is no file; give two JSON files that --output wrote")
        print(compare(*arguments.compare))
        return 0
    if arguments.report:
        return _report(arguments.output)
    if arguments.device == "cuda" and not torch.cuda.is_available():
        parser.error("torch finds no CUDA device here; use --device cpu")
    if arguments.suite != "all":
        failed = not measure_suite(arguments.suite, arguments.device, arguments.output)
    else:
        failed = run_all(arguments.device, arguments.output, arguments.budget_s or BUDGETS_S[arguments.device])
    _report(arguments.output)
    return int(failed)


def run_all(device: str, output: Path, budget_s: float | None) -> bool:
    """Run the suites of a device, and say which failed or were left out. Gives whether there are any."""
    end = None if budget_s is None else time.monotonic() + budget_s
    outcomes = {suite: _outcome(suite, device, output, end) for suite in SUITES[device]}
    problems = {suite: outcome for suite, outcome in outcomes.items() if outcome}
    for suite, outcome in problems.items():
        print(f"{suite}: {outcome}", file=sys.stderr)
    return bool(problems)


def _outcome(suite: str, device: str, output: Path, end: float | None) -> str:
    """Run a suite in a fresh process: one that fails, or leaves torch in another state, must not touch the next.

    Gives what went wrong, or nothing.
    """
    left = None if end is None else end - time.monotonic()
    if left is not None and left < LEAST_S:
        return "left out, the budget is used up"
    command = [sys.executable, "-m", "benchmarks", "--suite", suite, "--device", device, "--output", str(output)]
    process = subprocess.Popen(command, cwd=HERE.parent, start_new_session=True)
    try:
        return "failed" if process.wait(left) else ""
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)  # with the processes that the suite started
        process.wait()
        add_error(output / f"{device}-{suite}.json", f"cut short by the budget, after {left:.0f} s")
        return "cut short, the budget is used up"


def _report(output: Path) -> int:
    try:
        write_pictures(output)
    except ImportError as error:
        print(error, file=sys.stderr)
    write_report(output, (HERE if output == RESULTS else output) / "RESULTS.md")
    return 0


if __name__ == "__main__":
    sys.exit(main())

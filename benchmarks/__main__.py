"""python -m benchmarks --suite NAME|all --device cpu|cuda [--output FOLDER], or --compare A.json B.json

Every suite runs in its own process and writes <device>-<suite>.json; RESULTS.md and a plot are made of these files.
"""

import argparse
import importlib
import json
import os
import platform
import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch

from benchmarks.report import compare, write_plot, write_report

SUITES = ("attention", "loss", "step", "step_forms", "loop", "loader", "startup", "tokenizers")
HERE = Path(__file__).parent
RESULTS = HERE / "results"


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description="Time EMPROT's parts on this machine.")
    parser.add_argument("--suite", choices=(*SUITES, "all"), default="all")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument(
        "--output",
        type=Path,
        default=RESULTS,
        help="folder of the JSON files and the plot; RESULTS.md lies there too, but beside benchmarks/results",
    )
    parser.add_argument("--compare", nargs=2, type=Path, metavar=("A", "B"), help="two JSON files of one suite")
    parser.add_argument(
        "--report", action="store_true", help="only write RESULTS.md and the plot again, from the files"
    )
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
        _run_suite(arguments.suite, arguments.device, arguments.output)
        return _report(arguments.output)
    failed = [suite for suite in SUITES if not _succeeds(suite, arguments)]
    _report(arguments.output)
    if failed:
        print(f"failed: {', '.join(failed)}", file=sys.stderr)
    return 1 if failed else 0


def _succeeds(suite: str, arguments: argparse.Namespace) -> bool:
    """Run a suite in a fresh process: one that fails, or leaves torch in another state, must not touch the next."""
    command = [sys.executable, "-m", "benchmarks", "--suite", suite, "--device", arguments.device]
    done = subprocess.run([*command, "--output", str(arguments.output)], cwd=HERE.parent, check=False)
    return done.returncode == 0


def _run_suite(suite: str, device: str, output: Path) -> None:
    start = time.perf_counter()
    records = importlib.import_module(f"benchmarks.{suite}").run(device)
    measured = {"suite": suite, **machine(device), "seconds": round(time.perf_counter() - start, 1), "records": records}
    for record in records:
        print_record(record)
    output.mkdir(parents=True, exist_ok=True)
    path = output / f"{device}-{suite}.json"
    path.write_text(json.dumps(measured, indent=1) + "\n")
    print(f"written to {path}")


def _report(output: Path) -> int:
    write_report(output, (HERE if output == RESULTS else output) / "RESULTS.md")
    try:
        write_plot(output, output / "targets.png")
    except ImportError as error:
        print(error, file=sys.stderr)
    return 0


def print_record(record: dict[str, Any]) -> None:
    print(record["name"])
    for name, times in record["times"].items():
        spread = f"{times['p10_ms']:.4g} to {times['p90_ms']:.4g}"
        print(f"  {name:<40}{times['median_ms']:>12.4g} ms   ({spread})")
    for name, ratio in record.get("ratios", {}).items():
        print(f"  {name:<60}{ratio:>8.2f}")


def machine(device: str) -> dict[str, Any]:
    """What the figures were measured on."""
    name = torch.cuda.get_device_name() if device == "cuda" else _processor()
    commit = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, cwd=HERE, check=False
    ).stdout.strip()
    return {
        "device": name,
        "num_cores": os.cpu_count(),
        "cuda": torch.version.cuda,
        "torch": torch.__version__,
        "python": platform.python_version(),
        "commit": commit or None,
        "measured": datetime.now(UTC).strftime("%Y-%m-%d"),
    }


def _processor() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").is_file() else []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


if __name__ == "__main__":
    sys.exit(main())

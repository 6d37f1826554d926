"""Measures a suite and writes its file, record by record, so that what was measured outlives a failure."""

import importlib
import json
import os
import platform
import subprocess
import time
import traceback
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch


def measure_suite(suite: str, device: str, output: Path) -> bool:
    """Write <device>-<suite>.json anew. Gives whether the whole suite was measured; if not, the file has an `error`."""
    start = time.perf_counter()
    measured: dict[str, Any] = {"suite": suite, **machine(device), "seconds": 0.0, "records": []}
    output.mkdir(parents=True, exist_ok=True)
    path = output / f"{device}-{suite}.json"
    path.unlink(missing_ok=True)
    try:
        for record in importlib.import_module(f"benchmarks.{suite}").run(device):
            print_record(record)
            measured["records"].append(record)
            measured["seconds"] = round(time.perf_counter() - start, 1)
            _write(path, measured)
    except Exception as error:  # whatever it is, the other suites go on
        traceback.print_exc()
        _write(path, {**measured, "error": f"{type(error).__name__}: {str(error)[:300]}"})
        return False
    print(f"written to {path}", flush=True)
    return True


def add_error(path: Path, error: str) -> None:
    """Say in the file of a suite, if there is one, why records are missing."""
    if path.is_file():
        _write(path, {**json.loads(path.read_text()), "error": error})


def print_record(record: dict[str, Any]) -> None:
    print(record["name"])
    for name, times in record["times"].items():
        spread = f"{times['p10_ms']:.4g} to {times['p90_ms']:.4g}"
        print(f"  {name:<40}{times['median_ms']:>12.4g} ms   ({spread})")
    for name, ratio in record.get("ratios", {}).items():
        print(f"  {name:<60}{ratio:>8.2f}", flush=True)


def machine(device: str) -> dict[str, Any]:
    """What the figures were measured on."""
    name = torch.cuda.get_device_name() if device == "cuda" else _processor()
    return {
        "device": name,
        "num_cores": os.cpu_count(),
        "cuda": torch.version.cuda,
        "torch": torch.__version__,
        "python": platform.python_version(),
        "commit": _commit(),
        "measured": datetime.now(UTC).strftime("%Y-%m-%d"),
    }


def _commit() -> str | None:
    command = ["git", "rev-parse", "--short", "HEAD"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, cwd=Path(__file__).parent, check=False)
    except FileNotFoundError:  # no git there
        return None
    return done.stdout.strip() or None


def _processor() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").is_file() else []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def _write(path: Path, measured: dict[str, Any]) -> None:
    # A new file takes the old one's place at once: the process may be killed at any moment.
    part = path.with_suffix(".part")
    part.write_text(json.dumps(measured, indent=1) + "\n")
    part.replace(path)

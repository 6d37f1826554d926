"""python -m benchmarks --suite loss|step|tokenizers --device cpu|cuda [--output results.json]"""

import argparse
import json
import platform
import subprocess
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import torch

from benchmarks import loss, step, tokenizers

SUITES = {"loss": loss.run, "step": step.run, "tokenizers": tokenizers.run}


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description="Time EMPROT's parts on this machine.")
    parser.add_argument("--suite", choices=sorted(SUITES), default="step")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--output", type=Path, help="where the JSON goes; printed to the terminal otherwise")
    arguments = parser.parse_args()
    if arguments.device == "cuda" and not torch.cuda.is_available():
        parser.error("torch finds no CUDA device here; use --device cpu")
    records = SUITES[arguments.suite](arguments.device)
    text = json.dumps({"suite": arguments.suite, **machine(arguments.device), "records": records}, indent=1)
    for record in records:
        print_record(record)
    if arguments.output is None:
        print(text)
    else:
        arguments.output.parent.mkdir(parents=True, exist_ok=True)
        arguments.output.write_text(text + "\n")
        print(f"written to {arguments.output}")


def print_record(record: dict[str, Any]) -> None:
    print(f"{record['name']}: {record['num_parameters']:,} parameters, peak memory +{record['peak_memory_mb']:.0f} MB")
    for name, times in record["times"].items():
        spread = f"{times['p10_ms']:.2f} to {times['p90_ms']:.2f}"
        print(f"  {name:<24}{times['median_ms']:>10.2f} ms   ({spread})")
    for name, ratio in record.get("ratios", {}).items():
        print(f"  {name:<60}{ratio:>8.2f} x")


def machine(device: str) -> dict[str, Any]:
    """What the figures were measured on."""
    name = torch.cuda.get_device_name() if device == "cuda" else platform.processor() or platform.machine()
    commit = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, cwd=Path(__file__).parent, check=False
    ).stdout.strip()
    return {
        "device": name,
        "num_threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "python": platform.python_version(),
        "commit": commit or None,
        "measured": datetime.now(timezone.utc).strftime("%Y-%m-%d"),
    }


if __name__ == "__main__":
    main()

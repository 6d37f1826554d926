"""Measures the attention kernels on this machine and writes the table that `attention.auto` reads.

python -m benchmarks.attention_table --device cpu

With --results it takes the figures from the file of the suite `attention`, which another machine may have written.
"""

import argparse
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from emprot_plugins.attention import dispatch, table

from benchmarks.attention import measure_all
from benchmarks.timing import in_fresh_process

Row = tuple[int, int, int, str, str]
MIN_GAIN = 1.1
"""A kernel replaces einsum in the table where it is faster by this much, which is more than the noise."""


def fastest(record: dict[str, Any], names: Callable[[str], bool]) -> str:
    """The kernel of the table: einsum, unless another is faster by more than the noise."""
    gains = {name: record["ratios"][f"{name}: einsum takes"] for name in record["times"] if names(name)}
    best = max(gains, key=lambda name: gains[name])
    return best if gains[best] >= MIN_GAIN else "einsum"


def write_table(records: list[dict[str, Any]], device: str) -> None:
    """Replaces the rows of this device in plugins/attention/table.py; of records of the same sizes the last counts."""
    measured: dict[tuple[str, str, bool], dict[tuple[int, int, int], Row]] = {}
    rows = {key: value for key, value in table.FASTEST.items() if key[0] != device}
    for record in records:
        choices = [fastest(record, lambda n: n != "auto"), fastest(record, lambda n: n in dispatch.TRACEABLE)]
        sizes = (record["queries"], record["keys"], record["head_size"])
        measured.setdefault((device, record["dtype"], record["bias"]), {})[sizes] = (*sizes, *choices)
    rows |= {key: list(of_sizes.values()) for key, of_sizes in measured.items()}
    path = Path(table.__file__)
    head = path.read_text().split("FASTEST", 1)[0]
    lines = []
    for key, values in rows.items():
        lines += [f"    {as_text(key)}: [", *(f"        {as_text(value)}," for value in values), "    ],"]
    annotation = "dict[tuple[str, str, bool], list[tuple[int, int, int, str, str]]]"
    path.write_text(head + f"FASTEST: {annotation} = {{\n" + "\n".join(lines) + "\n}\n")
    print(f"written to {path}")


def as_text(row: tuple[Any, ...]) -> str:
    return repr(row).replace("'", '"')


def main() -> None:
    parser = argparse.ArgumentParser(description="Measure the kernels on this machine and write the table of `auto`.")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--results", type=Path, metavar="JSON", help="measure nothing, and read this file of the suite")
    options = parser.parse_args()
    if options.results:
        write_table(json.loads(options.results.read_text())["records"], options.device)
    else:
        write_table(in_fresh_process(measure_all, options.device), options.device)


if __name__ == "__main__":
    main()

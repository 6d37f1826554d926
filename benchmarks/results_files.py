"""The files of measured suites, as report and pictures read them."""

import json
from pathlib import Path
from typing import Any

Measured = dict[str, Any]


def read_results(folder: Path) -> list[Measured]:
    """The results of a folder in the order of their names, each with `on`: cpu or cuda."""
    return [{**json.loads(path.read_text()), "on": path.stem.split("-")[0]} for path in sorted(folder.glob("*-*.json"))]


def all_targets(result: Measured) -> list[Measured]:
    return [target for record in result["records"] for target in record.get("targets", [])]


def margin(target: Measured) -> float:
    """1 where a target is just met, more where it is exceeded; at most 100."""
    if target["at_least"]:
        return target["measured"] / target["bound"]
    return target["bound"] / max(target["measured"], target["bound"] / 100)

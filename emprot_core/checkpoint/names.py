"""The names of checkpoints: what the file of a step is called, and which files and names stay after a save."""

import re
from collections.abc import Mapping
from pathlib import Path

BEST, FINAL = "best.pt", "final.pt"
Index = dict[str, str]
"""The SHA-256 of every file by its name. All names of one file have the same hash."""


def numbered(kind: str, step: int) -> str:
    """The name of a checkpoint of a kind ("step" or "best") and step."""
    return f"{kind}-{step:08d}.pt"


def file_name(step: int, due: bool) -> str:
    """The name under which a state is written. It sorts in the order of time: step-24-due before step-24.

    Args:
        due: whether something, such as a validation, is still to be done after the step.
    """
    return f"step-{step:08d}-due.pt" if due else numbered("step", step)


def is_ours(path: Path) -> bool:
    """Whether a file has a name of a checkpoint. Another file beside them, such as a user's copy, is left alone."""
    return re.fullmatch(r"step-\d{8,}(-due)?|best-\d{8,}|best|final", path.stem) is not None


def own_names(index: Index) -> list[str]:
    """The names under which files were written, without the further names of these files. The oldest comes first."""
    return sorted(name for name in index if name.startswith("step-"))


def rotated(index: Index, names: Mapping[str, int], keep_last: int) -> Index:
    """The newest files, those that bear one of `names` (name -> step), and these names.

    A -due file goes as soon as its step is saved without -due.
    """
    files = [file for file in own_names(index) if file.replace("-due", "") not in index.keys() - {file}]
    named = {name: index[numbered("step", step)] for name, step in names.items() if numbered("step", step) in index}
    kept = {file: index[file] for file in files if file in files[-keep_last:] or index[file] in named.values()}
    return kept | named

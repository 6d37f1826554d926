"""What each split of a run holds, and whether the model may meet the proteins there."""

from collections.abc import Sequence
from typing import Any, get_args

from emprot_core.contracts import Data, Split
from emprot_core.errors import EmprotError
from emprot_core.evaluation.beside_baselines import unseen_groups
from emprot_core.words import first_of

_SHOWN = 8


def describe_splits(data: Data) -> dict[str, dict[str, dict[str, int]]]:
    """{split: {protein: {"trajectories", "frames"}}}: what may be a target in each split."""
    splits: dict[str, dict[str, dict[str, int]]] = {}
    for split in get_args(Split):
        groups = splits.setdefault(split, {})
        for _, group, num_frames in data.split_contents(split):
            counts = groups.setdefault(group, {"trajectories": 0, "frames": 0})
            counts["trajectories"] += 1
            counts["frames"] += num_frames
    return splits


def split_lines(data: Data) -> list[str]:
    """A line for each split, as the banner shows it."""
    lines = []
    for split, groups in describe_splits(data).items():
        told = [
            f"{group} ({counts['frames']} frames"
            + (f" of {counts['trajectories']} trajectories)" if counts["trajectories"] > 1 else ")")
            for group, counts in list(groups.items())[:_SHOWN]
        ]
        more = f" and {len(groups) - _SHOWN} more" if len(groups) > _SHOWN else ""
        lines.append(f"{split}: {', '.join(told) or 'nothing'}{more}")
    return lines


def check_proteins(model: Any, data: Data) -> None:
    """
    Raises:
        EmprotError: the model knows single residues by their index, and a split has a protein that training lacks.
    """
    if data.num_windows("train"):
        refuse_unseen(model, unseen_groups(data, "validation"), "validation")
        refuse_unseen(model, unseen_groups(data, "test"), "test")


def refuse_unseen(model: Any, unseen: Sequence[str], split: str) -> None:
    """
    Raises:
        EmprotError: the model knows single residues by their index, and there are proteins that training lacks.
    """
    if unseen and getattr(model, "same_protein", False):
        raise EmprotError(
            f"{type(model).__name__} has an embedding for every residue index, which means nothing on a protein "
            f"that training lacks: the {split} split has {first_of(unseen)}; bind NUM_RESIDUES = 0, and train"
        )

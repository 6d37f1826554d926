"""Splits by whole groups (proteins), so that test proteins are never trained on."""

import difflib
import hashlib
from collections.abc import Sequence

import numpy as np

from emprot_core.contracts import Split
from emprot_core.data.windows import SPAN_DTYPE
from emprot_core.errors import EmprotError
from emprot_core.registry import register


@register("split")
class ByGroup:
    """Gives all trajectories of a group to one split, either by group names or by fractions of the groups.

    Fractions take groups in the order of a hash of (seed, name), so neither the order in the store nor the number of
    trajectories in a group matters. A fraction above 0 takes at least one group.
    """

    def __init__(
        self,
        validation: float | Sequence[str] = 0.1,
        test: float | Sequence[str] = 0.2,
        train: Sequence[str] | None = None,
        seed: int = 0,
    ):
        """
        Args:
            validation, test: names of groups, or a fraction of the groups that no split names.
            train: names of groups; None takes all that are left.
            seed: seed of the choice by fractions.

        Raises:
            EmprotError: a fraction lies outside [0, 1), or a group is named twice.
        """
        self.train, self.seed = train, seed
        self.names: dict[Split, tuple[str, ...]] = {"train": tuple(train or ())}
        self.fractions: dict[Split, float] = {}
        shares: dict[Split, float | Sequence[str]] = {"test": test, "validation": validation}
        for split, share in shares.items():
            if isinstance(share, int | float):
                self.fractions[split] = share
                self.names[split] = ()
            else:
                self.names[split] = (share,) if isinstance(share, str) else tuple(share)
        if any(not 0 <= share < 1 for share in self.fractions.values()) or sum(self.fractions.values()) >= 1:
            raise EmprotError(f"the fractions are {self.fractions}, expected 0 or more and a sum below 1")
        named = [name for names in self.names.values() for name in names]
        if twice := sorted({name for name in named if named.count(name) > 1}):
            raise EmprotError(f"the group {twice[0]!r} is named twice; give each group to one split")

    def spans(self, index: np.ndarray) -> dict[Split, np.ndarray]:
        """The spans of targets of each split; see contracts.DataSplit.

        Raises:
            EmprotError: a named group is not in the store, or a requested split gets no group.
        """
        names, group = np.unique(index["group"], return_inverse=True)  # only distinct names are listed below
        side = self._assign(names.tolist())
        sides = np.array([side.get(name, "") for name in names.tolist()])[group]
        splits: tuple[Split, ...] = ("train", "validation", "test")
        return {split: whole(index, np.flatnonzero(sides == split)) for split in splits}

    def _assign(self, groups: list[str]) -> dict[str, Split]:
        side: dict[str, Split] = {}
        for split, names in self.names.items():
            for name in names:
                check_known(name, groups)
                side[name] = split
        left = sorted(
            (g for g in groups if g not in side), key=lambda g: hashlib.sha256(f"{self.seed}/{g}".encode()).digest()
        )
        num_left = len(left)
        for split, fraction in self.fractions.items():
            take = max(1, round(num_left * fraction)) if fraction > 0 else 0
            if take > len(left):
                raise EmprotError(_too_few(groups, split))
            side.update(dict.fromkeys(left[:take], split))
            left = left[take:]
        if self.train is None:
            side.update(dict.fromkeys(left, "train"))
        if "train" not in side.values():
            raise EmprotError(_too_few(groups, "train"))
        return side


def check_known(name: str, groups: list[str]) -> None:
    if name not in groups:
        near = difflib.get_close_matches(name, groups, n=1)
        hint = f"did you mean {near[0]!r}? " if near else ""
        shown = ", ".join(groups[:8]) + (", ..." if len(groups) > 8 else "")
        raise EmprotError(f"there is no group {name!r} in the store; {hint}it has {len(groups)}: {shown}")


def _too_few(groups: list[str], split: Split) -> str:
    return (
        f"no group is left for {split}: the store has {len(groups)} ({', '.join(groups[:8])}); "
        "lower the fractions of ByGroup, name fewer groups, or split by time (splits.ByTime)"
    )


def whole(index: np.ndarray, rows: np.ndarray) -> np.ndarray:
    spans = np.zeros(len(rows), SPAN_DTYPE)
    spans["trajectory"], spans["stop"] = rows, index["num_frames"][rows]
    return spans

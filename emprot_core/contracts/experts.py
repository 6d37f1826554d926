"""Experts: forecasts made of a residue's past and of counted transitions, which a model mixes by its gates.

An expert has few parameters or none. It says how much it starts with and what the gates may know about it; how much it
counts for a residue is learned by the gates.
"""

from collections.abc import Sequence
from typing import NamedTuple, Protocol

from torch import Tensor


class Rows(NamedTuple):
    """Distributions over all classes. Positions that ask for the same one share a row."""

    values: Tensor  # (R, C), each row adds up to 1
    of: Tensor  # (B, F, N) long, the row of each position


class LastIDs(NamedTuple):
    """The different IDs that the residues of each window have in one frame: what rows of a table are asked for."""

    window: Tensor  # (Q,) long
    ids: Tensor  # (Q,) long, MISSING_ID among them
    of: Tensor  # (B, N) long, which of the Q each residue has


class Past(Protocol):
    """What experts read of a batch: IDs up to the last frame t, and tables of the training. Nothing of the targets.

    Numbers have the dtype of `ages`: float32, unless the model was cast.

    A residue's *slots* are the K classes that its past shows most (all, if there are no more), the heaviest first.
    """

    ids: Tensor  # (B, N, T) long, MISSING_ID where unknown; the last frame is t
    ages: Tensor  # (T,) frames from each frame to t: T - 1, ..., 0
    horizon: int  # F
    num_clusters: int  # C
    slots: Tensor  # (B, N, K) long: their classes, MISSING_ID in slots left empty
    unigram: Tensor  # (B, C): U, the class frequencies of the training without the part that the window leaves out

    @property
    def unigram_on_slots(self) -> Tensor:
        """(B, N, K): U at the classes of the slots, 0 at empty ones."""

    def on_slots(self, weights: Tensor) -> Tensor:
        """(B, N, K, c): the sum of weights over the frames that show the class of a slot.

        Args:
            weights: (B, N, T, c), or (T, c) if they are the same for all residues.
        """

    def at_last(self, on_slots: Tensor) -> Tensor:
        """(...): the value at the last ID x[t] of what is given on slots, (..., K); 0 where x[t] is missing.

        The axes before K are (B, N), or (B, F, N). With 20 slots or more x[t] always has one; with fewer it may be 0.
        """

    def last_ids(self, back: int) -> LastIDs:
        """The IDs in the frame `back` frames before t."""

    def pooled(self, back: int) -> Rows:
        """P_h+back(y | x[t - back]) of the training: (count + U(y)) / (n + 1) over all residues; U if it is missing."""


class Opinion(NamedTuple):
    """What an expert says about a batch. It has one part or more: each is a distribution, and has a gate of its own."""

    statistics: Tensor  # (B, F or 1, N, S), roughly -3 to 3: what the gates may know
    on_slots: Tensor | None = None  # (B, F or 1, N, parts, K): probabilities of the classes of the slots
    rows: Sequence[Rows] = ()  # further parts, over all classes


class Expert(Protocol):
    """One forecast of every residue, or a family of them. What its parts leave of 1 on the slots goes to U.

    An expert that is an nn.Module is trained with the model.
    """

    shares: Sequence[float]  # the weight that each part starts with, first those on slots, then those of rows
    num_statistics: int  # S

    def __call__(self, past: Past) -> Opinion: ...

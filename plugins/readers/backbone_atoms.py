"""Finds the backbone atoms of a protein by their names."""

from collections.abc import Sequence
from typing import Literal

import numpy as np

from emprot_core.contracts import RESIDUE_DTYPE
from emprot_core.errors import EmprotError

ResidueRow = tuple[int, str, str, str, str]
"""Number, insertion code, name, chain and segment, as RESIDUE_DTYPE has them."""
Incomplete = Literal["refuse", "leave_out"]
_ATOM_NAMES = (("N",), ("CA",), ("C",), ("O", "OT1", "OC1", "O1", "OXT"))  # the last residue's oxygen has many names


def backbone_atoms(
    residues: Sequence[tuple[ResidueRow, Sequence[tuple[str, int]]]], incomplete: Incomplete
) -> tuple[np.ndarray, np.ndarray, tuple[str, ...]]:
    """The backbone of residues, each given as its row of the table, and the name and index of each atom.

    A residue without CA is a cap (ACE, NME) and is left out. If atoms share a name (alternate locations), the first
    counts.

    Returns:
        residues (R,) of RESIDUE_DTYPE, indices of their atoms (R, 4) int64, and a note on residues that were left out.

    Raises:
        EmprotError: a residue lacks N, C or O and `incomplete` is "refuse".
    """
    found, indices, lacking = [], [], []
    for row, atoms in residues:
        index: dict[str, int] = {}
        for atom, place in atoms:
            index.setdefault(atom, place)
        if "CA" not in index:
            continue
        places = [next((index[n] for n in names if n in index), None) for names in _ATOM_NAMES]
        if None in places:
            lost = ", ".join(names[0] for names, place in zip(_ATOM_NAMES, places, strict=True) if place is None)
            lacking.append(f"{row[2]} {row[0]}{row[1]} (no {lost})")
            continue
        found.append(row)
        indices.append(places)
    notes: tuple[str, ...] = ()
    if lacking:
        shown = ", ".join(lacking[:8]) + (", ..." if len(lacking) > 8 else "")
        if incomplete == "refuse":
            raise EmprotError(
                f"{len(lacking)} residues lack backbone atoms: {shown}; complete the structure, or bind the reader's "
                "incomplete = 'leave_out'"
            )
        notes = (f"{len(lacking)} residues lack backbone atoms and were left out: {shown}",)
    return np.array(found, dtype=RESIDUE_DTYPE), np.array(indices, dtype=np.int64).reshape(-1, 4), notes

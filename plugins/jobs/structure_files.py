"""Values of residues on a structure: PDB and mmCIF files with the value in the B-factor, and a script that colours it.

Every residue of the table that has coordinates stands in the file. Where no value is known, B is 0 and the occupancy
0.00, elsewhere 1.00.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np

from emprot_core.errors import EmprotError
from emprot_core.files import write_atomically

_ATOMS = ("N", "CA", "C", "O")
_MMCIF_FIELDS = (
    *("group_PDB", "id", "type_symbol", "label_atom_id", "label_alt_id", "label_comp_id", "label_asym_id"),
    *("label_entity_id", "label_seq_id", "pdbx_PDB_ins_code", "Cartn_x", "Cartn_y", "Cartn_z", "occupancy"),
    *("B_iso_or_equiv", "auth_seq_id", "auth_asym_id", "pdbx_PDB_model_num"),
)
_NUMBERS = (-999, 9999)  # what the number column of a PDB file holds
_COORDINATES = (-999.999, 9999.999)  # what each coordinate column holds, Angstrom
_VALUES = (-99.99, 999.99)  # what the B-factor column holds
_MOST_ATOMS = 99_999


class Coloured(NamedTuple):
    """A structure of N residues with a value for each."""

    residues: np.ndarray  # (N,) of contracts.RESIDUE_DTYPE
    backbone: np.ndarray  # (N, 4, 3) Angstrom, atoms N CA C O, NaN where unknown
    values: np.ndarray  # (N,), NaN where nothing is known
    title: str  # what the values are


class _Atom(NamedTuple):
    serial: int
    place: int  # of the residue in the table, from 1 on
    name: str
    residue: tuple[int, str, str, str, str]  # the fields of contracts.RESIDUE_DTYPE
    position: np.ndarray
    value: float
    occupancy: float


def write_pdb(path: Path, coloured: Coloured) -> None:
    """Write a PDB file. Values that are too large for its B-factor column are divided by a power of ten.

    There is room for the first three letters of a residue's name and the last four of its segment's.

    Raises:
        EmprotError: a chain has more than one letter, or there are more atoms, larger residue numbers or larger
            coordinates than the columns hold.
    """
    if unfit := _unfit(coloured):
        raise EmprotError(f"{path}: a PDB file cannot hold {unfit}; write mmCIF instead")
    divisor = _divisor(coloured.values)
    title = _one_line(coloured.title).upper() + (f", DIVIDED BY {divisor}" if divisor > 1 else "")
    lines = [f"REMARK   1 B-FACTOR: {title}", "REMARK   1 OCCUPANCY 0.00: UNKNOWN"]
    for atom in _atoms(coloured):
        place = "".join(f"{x:8.3f}" for x in atom.position)
        number, code, name, chain, segment = atom.residue
        lines.append(
            f"ATOM  {atom.serial:5d}  {atom.name:<3} {name[:3]:>3} {chain or ' '}{number:4d}{code or ' '}   {place}"
            f"{atom.occupancy:6.2f}{atom.value / divisor:6.2f}      {segment[-4:]:<4}{atom.name[0]:>2}"
        )
    write_atomically(path, "\n".join([*lines, "END", ""]).encode())


def write_mmcif(path: Path, coloured: Coloured) -> None:
    """Write an mmCIF file, which has no limits of width. Without a chain, the segment is the chain."""
    lines = ["data_emprot", f"# B_iso_or_equiv: {_one_line(coloured.title)}; occupancy 0.00: unknown", "loop_"]
    lines += [f"_atom_site.{field}" for field in _MMCIF_FIELDS]
    for atom in _atoms(coloured):
        number, code, name, chain, segment = atom.residue
        place, chain = " ".join(f"{x:.3f}" for x in atom.position), _quoted(chain or segment or "A")
        row = f"ATOM {atom.serial} {atom.name[0]} {atom.name} . {_quoted(name or 'UNK')} {chain} 1 {atom.place}"
        code = _quoted(code) if code else "?"
        lines.append(f"{row} {code} {place} {atom.occupancy:.2f} {atom.value:.4f} {number} {chain} 1")
    write_atomically(path, "\n".join([*lines, "#", ""]).encode())


def write_colours(path: Path, structure: Path, coloured: Coloured) -> None:
    """Write a script for PyMOL (.pml) that loads the structure beside it and colours it; what is unknown is grey.

    It may be started from any directory, and leaves other structures as they are.
    """
    known = coloured.values[np.isfinite(coloured.values)]
    low, high = (float(known.min()), float(known.max())) if len(known) else (0.0, 1.0)
    divisor = _divisor(coloured.values) if structure.suffix == ".pdb" else 1
    name = "".join(letter if letter.isascii() and letter.isalnum() else "_" for letter in structure.stem)
    lines = [
        f"# {_one_line(coloured.title)}, {low:.3g} (blue) to {high:.3g} (red), grey: unknown",
        "/import os",
        f"/cmd.load(os.path.join(os.path.dirname(__script__), {structure.name!r}), {name!r})",
        f"as cartoon, %{name}",
        f"set cartoon_trace_atoms, 1, %{name}",
        f"spectrum b, blue_white_red, %{name}, minimum={low / divisor:.6g}, maximum={high / divisor:.6g}",
        f"color grey60, %{name} and q < 0.5",
        "orient",
    ]
    write_atomically(path, "\n".join([*lines, ""]).encode())


def _unfit(coloured: Coloured) -> str:
    """What the columns of a PDB file cannot hold; "" if they hold everything."""
    table = coloured.residues
    longest = max(table["chain"].tolist(), key=len, default="")
    if len(longest) > 1:
        return f"the chain {longest!r}"
    if 4 * len(table) > _MOST_ATOMS:
        return f"{len(table)} residues"
    for what, found, (low, high) in (
        ("residue numbers", table["number"], _NUMBERS),
        ("coordinates", np.nan_to_num(coloured.backbone), _COORDINATES),
    ):
        if len(table) and (found.min() < low or found.max() > high):
            return f"{what} from {found.min():g} to {found.max():g}"
    return ""


def _divisor(values: np.ndarray) -> int:
    """The power of ten that makes values fit into the B-factor column of a PDB file."""
    known = values[np.isfinite(values)]
    divisor = 1
    while known.min(initial=0) / divisor < _VALUES[0] or known.max(initial=0) / divisor > _VALUES[1]:
        divisor *= 10
    return divisor


def _one_line(title: str) -> str:
    """A title as one line: what follows a line break or a ; in the name of a trajectory would be a command of PyMOL."""
    return " ".join(title.replace(";", ",").split())


def _quoted(text: str) -> str:
    """A text as a value of mmCIF, in quotes where one of its signs might mean something else."""
    return text if text.isalnum() else f'"{text}"'


def _atoms(coloured: Coloured) -> Iterator[_Atom]:
    serial = 0
    rows = zip(coloured.residues.tolist(), coloured.backbone, coloured.values, strict=True)
    for place, (residue, positions, value) in enumerate(rows, start=1):
        is_known = bool(np.isfinite(value))
        for name, position in zip(_ATOMS, positions, strict=True):
            if np.isfinite(position).all():
                serial += 1
                shown = float(value) if is_known else 0.0
                yield _Atom(serial, place, name, residue, position, shown, float(is_known))

"""Values of residues on a structure: PDB and mmCIF files with the value in the B-factor, and a script that colours it.

Every residue of the table stands in the file. Where nothing is known, B is 0 and the occupancy 0.00, elsewhere 1.00.
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
_WIDEST = 999.99  # what the B-factor column of a PDB file holds
_MOST_RESIDUES = 9999  # what the number column of a PDB file holds


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
    residue: np.void
    position: np.ndarray
    value: float
    occupancy: float


def write_pdb(path: Path, coloured: Coloured) -> None:
    """Write a PDB file.

    Raises:
        EmprotError: a chain has more than one letter, a residue number more than four digits, or a value does not fit.
    """
    table, values = coloured.residues, coloured.values[np.isfinite(coloured.values)]
    chains = sorted({str(chain) for chain in table["chain"] if len(chain) > 1})
    numbers = table["number"]
    if chains or len(table) > _MOST_RESIDUES or (numbers > _MOST_RESIDUES).any() or (numbers < -999).any():
        what = f"the chain {chains[0]!r}" if chains else f"residues up to number {numbers.max()}"
        raise EmprotError(f"{path}: a PDB file cannot hold {what}; write mmCIF instead")
    if len(values) and (values.max() > _WIDEST or values.min() < -99.99):
        raise EmprotError(f"{path}: a PDB file holds values from -99.99 to {_WIDEST}, got {values.max():g}; scale them")
    lines = [f"REMARK   1 B-FACTOR: {coloured.title.upper()}", "REMARK   1 OCCUPANCY 0.00: UNKNOWN"]
    for atom in _atoms(coloured):
        place = "".join(f"{x:8.3f}" for x in atom.position)
        code, chain, name = (str(atom.residue[field]) for field in ("insertion_code", "chain", "name"))
        lines.append(
            f"ATOM  {atom.serial % 100_000:5d}  {atom.name:<3} {name[:3]:>3} {chain or ' '}"
            f"{atom.residue['number']:4d}{code or ' '}   {place}{atom.occupancy:6.2f}{atom.value:6.2f}"
            f"          {atom.name[0]:>2}"
        )
    write_atomically(path, "\n".join([*lines, "END", ""]).encode())


def write_mmcif(path: Path, coloured: Coloured) -> None:
    """Write an mmCIF file, which has no limits of width."""
    lines = ["data_emprot", f"# B_iso_or_equiv: {coloured.title}; occupancy 0.00: unknown", "loop_"]
    lines += [f"_atom_site.{field}" for field in _MMCIF_FIELDS]
    for atom in _atoms(coloured):
        number, code, name, chain, _ = atom.residue.tolist()
        place = " ".join(f"{x:.3f}" for x in atom.position)
        row = f"ATOM {atom.serial} {atom.name[0]} {atom.name} . {name or 'UNK'} {chain or 'A'} 1 {atom.place}"
        lines.append(f"{row} {code or '?'} {place} {atom.occupancy:.2f} {atom.value:.4f} {number} {chain or 'A'} 1")
    write_atomically(path, "\n".join([*lines, "#", ""]).encode())


def write_colours(path: Path, structure: Path, coloured: Coloured) -> None:
    """Write a script for PyMOL (.pml) that loads the structure beside it and colours it; what is unknown is grey."""
    known = coloured.values[np.isfinite(coloured.values)]
    low, high = (float(known.min()), float(known.max())) if len(known) else (0.0, 1.0)
    lines = [
        f"# {coloured.title}, {low:.3g} (blue) to {high:.3g} (red); grey: unknown",
        f"load {structure.name}",
        "hide everything",
        "show cartoon",
        "set cartoon_trace_atoms, 1",
        f"spectrum b, blue_white_red, minimum={low:.6g}, maximum={high:.6g}",
        "color grey60, q < 0.5",
        "orient",
        "",
    ]
    write_atomically(path, "\n".join(lines).encode())


def _atoms(coloured: Coloured) -> Iterator[_Atom]:
    serial = 0
    rows = zip(coloured.residues, coloured.backbone, coloured.values, strict=True)
    for place, (residue, positions, value) in enumerate(rows, start=1):
        is_known = bool(np.isfinite(value))
        for name, position in zip(_ATOMS, positions, strict=True):
            if np.isfinite(position).all():
                serial += 1
                shown = float(value) if is_known else 0.0
                yield _Atom(serial, place, name, residue, position, shown, float(is_known))

"""Reads trajectories of molecular dynamics programs (XTC, TRR, DCD, NC, PDB) with MDAnalysis (extra `md`)."""

import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from glob import glob
from pathlib import Path
from typing import Any

import numpy as np

from emprot_core.contracts import Structure
from emprot_core.errors import EmprotError
from emprot_core.registry import register

from .backbone_atoms import Incomplete, ResidueRow, backbone_atoms
from .chunks import chain_segments, frames_per_chunk
from .file_table import entry_of
from .layout import fill_in, group_of, match_layout, read_groups
from .md_frames import dcd_note, read_frames


@register("reader", "md")
class MDTrajectory:
    """Reads the backbone from a trajectory file and its topology (PDB, GRO, PSF, ...), chunk by chunk.

    Residues are the standard amino acids (MDAnalysis' `protein`). The user gives the time step, because the times in
    trajectory files are often wrong. Folder layouts are described by the fields of `layout`:

        ATLAS    layout = '{chain}_R{replica}.xtc', topology = '{chain}.pdb', group = '{chain}'
        GPCRmd   layout = '*_trj_{dyn}.xtc', topology = '*_dyn_{dyn}.pdb', group = '{dyn}', with a table of groups
    """

    def __init__(
        self,
        topology: str = "",
        group: str = "",
        time_step_ns: float = float("nan"),
        layout: str = "",
        groups: str = "",
        key_column: str = "Dynamic id",
        group_column: str = "Uniprot ID",
        incomplete: Incomplete = "refuse",
        table: str = "",
    ):
        """
        Args:
            topology: a path, or the name or a pattern of one file beside each trajectory. If empty, the trajectory is
                its own topology (a PDB file of models). It may contain fields of the layout.
            group: the protein (UniProt accession or the like); replicas must share it, so that a split keeps them
                together. It may contain fields of the layout.
            time_step_ns: time between frames; NaN if unknown.
            layout: how the paths of the trajectories end, with {fields} that topology and group may contain.
            groups: a CSV file in which `group` is looked up.
            key_column, group_column: names of the columns of that file.
            incomplete: what to do if an amino acid lacks N, CA, C or O: "refuse" the trajectory, or "leave_out" the
                residue, which breaks the chain.
            table: a CSV file with the columns files, topology, group and time_step_ns (readers.file_table). With a
                table, the parameters topology, group and time_step_ns are not read.
        """
        self.table = table
        self.topology, self.group, self.time_step_ns = topology, group, time_step_ns
        self.layout, self.incomplete = layout, incomplete
        self.groups, self.key_column, self.group_column = groups, key_column, group_column

    def other_files(self, path: Path) -> Sequence[Path]:
        """The topology, and the tables if there are any."""
        return [self._find_topology(path), *(Path(table) for table in (self.groups, self.table) if table)]

    def read(self, path: Path) -> Iterator[Structure]:
        """
        Raises:
            ModuleNotFoundError: MDAnalysis is not installed.
            EmprotError: a file is missing or cannot be read, has another number of atoms than the topology, or no
                residue has a backbone; the message names file and frame.
        """
        path = Path(path)
        topology, group = self._find_topology(path), self._find_group(path)
        time_step_ns = entry_of(self.table, path).time_step_ns if self.table else self.time_step_ns
        if not path.is_file():
            raise EmprotError(f"there is no file {path}; give a trajectory")
        with _quiet_mdanalysis():
            universe = _open_topology(topology)
            try:
                residues, atoms, notes = self.backbone_of(universe, self.incomplete)
            except ValueError as error:
                raise EmprotError(f"{topology}: {error}") from error
            if not len(residues):
                raise EmprotError(
                    f"{topology} has 0 residues with N, CA, C and O, expected one or more; "
                    "give a topology of the protein"
                )
            if note := _note(path, topology):
                notes = (*notes, note)
            segments = None
            for coordinates in _chunks(path, topology, universe, atoms):
                segments = chain_segments(coordinates[0]) if segments is None else segments
                yield Structure(coordinates, segments, residues, group, time_step_ns, notes=notes)

    @staticmethod
    def backbone_of(atoms: Any, incomplete: Incomplete) -> tuple[np.ndarray, np.ndarray, tuple[str, ...]]:
        """The residues (N,) of MDAnalysis' `protein` among some atoms, the indices (N, 4) of N CA C O, and notes."""
        found = [(_row_of(r), r.atoms) for r in atoms.select_atoms("protein").residues]
        listed = [(row, list(zip(a.names.tolist(), a.indices.tolist(), strict=True))) for row, a in found]
        return backbone_atoms(listed, incomplete)

    def _find_topology(self, path: Path) -> Path:
        if self.table:
            return Path(entry_of(self.table, path).topology)
        if not self.topology:
            return path
        name = fill_in(self.topology, match_layout(self.layout, path), "readers.md.topology")
        for pattern in (name, str(path.parent / name)):
            found = sorted(Path(match) for match in glob(pattern, recursive=True) if Path(match).is_file())
            if len(found) > 1:
                shown = ", ".join(map(str, found[:4]))
                raise EmprotError(f"{path}: {len(found)} files are called {pattern} ({shown}), expected one topology")
            if found:
                return found[0]
        raise EmprotError(
            f"{path}: there is no file {name}, here or beside the trajectory; give its topology as readers.md.topology"
        )

    def _find_group(self, path: Path) -> str:
        if self.table:
            return entry_of(self.table, path).group
        group = fill_in(self.group, match_layout(self.layout, path), "readers.md.group")
        if not self.groups:
            return group
        return group_of(read_groups(self.groups, self.key_column, self.group_column), group, self.groups)


@contextmanager
def _quiet_mdanalysis() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about masses, elements and times, none of which is used
        try:
            yield
        except ModuleNotFoundError as error:
            raise ModuleNotFoundError("readers.md needs MDAnalysis; pip install 'emprot[md]'") from error


def _open_topology(topology: Path) -> Any:
    import MDAnalysis

    try:
        return MDAnalysis.Universe(str(topology))
    except Exception as error:  # its parsers raise anything on a damaged file
        raise EmprotError(f"{topology} cannot be read as a topology: {error}") from error


def _row_of(residue: Any) -> ResidueRow:
    """A residue as the topology names it; a topology need not know insertion codes and chains."""
    chain = residue.atoms[0].chainID if hasattr(residue.atoms[0], "chainID") else ""
    return int(residue.resid), getattr(residue, "icode", ""), str(residue.resname), chain, str(residue.segid)


def _note(path: Path, topology: Path) -> str:
    try:
        return dcd_note(path)
    except ModuleNotFoundError:
        raise
    except Exception as error:  # its parsers raise anything on a damaged file
        raise _unreadable(path, topology, 0, error) from error


def _unreadable(path: Path, topology: Path, num_frames: int, error: Exception) -> EmprotError:
    return EmprotError(
        f"{path} cannot be read with the topology {topology} at frame {num_frames}: {error}; copy the trajectory "
        "again, or give the topology it was written with"
    )


def _chunks(path: Path, topology: Path, universe: Any, atoms: np.ndarray) -> Iterator[np.ndarray]:
    """(frames, residues, 4, 3) float32 in Angstrom; full chunks before a damaged frame come before the error."""
    per_chunk = frames_per_chunk(atoms.size)
    pending: list[np.ndarray] = []
    num_frames = 0
    try:
        for positions in read_frames(path, universe):
            pending.append(positions[atoms].astype(np.float32, copy=False))
            num_frames += 1
            if len(pending) == per_chunk:
                yield np.stack(pending)
                pending = []
    except ModuleNotFoundError:
        raise
    except Exception as error:  # its parsers raise anything on a damaged file
        raise _unreadable(path, topology, num_frames, error) from error
    if pending:
        yield np.stack(pending)

"""mdCATH: one HDF5 file per CATH domain, with five replicas at each of five temperatures (extra `hdf5`)."""

from collections.abc import Iterator, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np

from emprot_core.contracts import Structure
from emprot_core.errors import EmprotError
from emprot_core.registry import register

from .backbone_atoms import Incomplete, backbone_atoms
from .chunks import chain_segments, frame_slices
from .hdf5 import dataset, open_hdf5, split_member, strings, trajectory_dataset

_PDB_ATOM_NAME = slice(12, 16)


@register("reader", "mdcath_h5")
class MdCath:
    """Reads trajectories `<temperature>/<replica>` of a file mdcath_dataset_<domain>.h5; the domain is the group.

    Source: Mirarchi, Giorgino, De Fabritiis, Scientific Data 11, 1299 (2024).
    """

    def __init__(
        self,
        temperatures: Sequence[int] = (),
        time_step_ns: float = 1.0,
        incomplete: Incomplete = "refuse",
    ):
        """
        Args:
            temperatures: in kelvin, among 320, 348, 379, 413 and 450; if empty, all that the file has.
            time_step_ns: time between frames, which is 1 in the data set.
            incomplete: what to do if an amino acid lacks N, CA, C or O: "refuse" or "leave_out", as in readers.md.
        """
        self.temperatures, self.time_step_ns, self.incomplete = list(temperatures), time_step_ns, incomplete

    def members(self, path: Path) -> Sequence[str]:
        """The trajectories of a file, by temperature and replica.

        Raises:
            EmprotError: the file is damaged, does not hold exactly one domain, or lacks a temperature.
        """
        with open_hdf5(path, "mdcath_h5") as file:
            domain = _domain(file, path)
            held = sorted((name for name in domain if name.isdigit()), key=int)
            wanted = [str(temperature) for temperature in self.temperatures] or held
            members = [
                f"{temperature}/{replica}"
                for temperature in wanted
                for replica in sorted(dataset(domain, temperature, path), key=int)
            ]
        if not members:
            raise EmprotError(f"{path}: {domain.name} has no temperatures; give a file of mdCATH")
        return members

    def read(self, path: Path) -> Iterator[Structure]:
        """
        Raises:
            ModuleNotFoundError: h5py is not installed.
            EmprotError: the file is damaged or lacks a part of the format, or a residue lacks backbone atoms.
        """
        path, member = split_member(Path(path))
        if not member:
            raise EmprotError(
                f"{path} holds the trajectories {', '.join(self.members(path)[:8])}, ...; give one of them"
            )
        with open_hdf5(path, "mdcath_h5") as file:
            domain = _domain(file, path)
            group = domain.name.strip("/")
            residues, atoms, notes = _select(domain, path, self.incomplete)
            num_atoms = len(dataset(domain, "resid", path))
            replica = dataset(domain, member, path)
            coordinates = trajectory_dataset(replica, "coords", num_atoms, path)
            announced = replica.attrs.get("numFrames", len(coordinates))
            if announced != len(coordinates):
                notes += (f"the file announces {announced} frames, but holds {len(coordinates)}",)
            segments = None
            for frames in frame_slices(len(coordinates), num_atoms):
                backbone = coordinates[frames][:, atoms].astype(np.float32, copy=False)
                segments = chain_segments(backbone[0]) if segments is None else segments
                yield Structure(backbone, segments, residues, group, self.time_step_ns, notes=notes)


def _domain(file: Any, path: Path) -> Any:
    domains = [group for group in file.values() if isinstance(group, type(file["/"]))]
    if len(domains) != 1:
        raise EmprotError(
            f"{path} holds the groups {sorted(file)[:8]}, expected one, the domain; give a file of mdCATH"
        )
    return domains[0]


def _select(domain: Any, path: Path, incomplete: Incomplete) -> tuple[np.ndarray, np.ndarray, tuple[str, ...]]:
    chains, names = (strings(dataset(domain, name, path)) for name in ("chain", "resname"))
    numbers = [int(number) for number in np.asarray(dataset(domain, "resid", path)).tolist()]
    text = strings(dataset(domain, "pdbProteinAtoms", path)[()])[0]
    atoms = [line[_PDB_ATOM_NAME].strip() for line in text.splitlines() if line.startswith(("ATOM", "HETATM"))]
    if len({len(atoms), len(names), len(numbers), len(chains)}) > 1:
        raise EmprotError(
            f"{path}: pdbProteinAtoms names {len(atoms)} atoms, resname {len(names)}, resid {len(numbers)}, chain "
            f"{len(chains)}; expected one number"
        )
    runs = groupby(range(len(atoms)), key=lambda i: (chains[i], numbers[i], names[i]))
    listed = [
        ((number, "", name, chain, ""), [(atoms[i], i) for i in places]) for (chain, number, name), places in runs
    ]
    try:
        residues, indices, notes = backbone_atoms(listed, incomplete)
    except ValueError as error:
        raise EmprotError(f"{path}: {error}") from error
    if not len(residues):
        raise EmprotError(f"{path} has no residue with N, CA, C and O, expected one or more")
    return residues, indices, notes

"""The frames of a trajectory file of a molecular dynamics program, one by one, through MDAnalysis."""

import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

_ANGSTROM_PER_NM = 10.0


def read_frames(path: Path, universe: Any) -> Iterator[np.ndarray]:
    """Positions (atoms, 3) in Angstrom of each frame, for the topology of an MDAnalysis Universe.

    Raises:
        ValueError: the file is cut short, or has another number of atoms than the topology. On a damaged file the
            parsers of MDAnalysis may raise anything else.
    """
    is_xdr = path.suffix.lower() in (".xtc", ".trr")
    yield from _xdr_frames(path, universe) if is_xdr else _other_frames(path, universe)


def _xdr_frames(path: Path, universe: Any) -> Iterator[np.ndarray]:
    # Frame by frame from the start: MDAnalysis' own reader first scans the whole file, writes its index beside it and
    # drops a last frame that was cut short without a word.
    from MDAnalysis.lib.formats.libmdaxdr import TRRFile, XTCFile

    with (XTCFile if path.suffix.lower() == ".xtc" else TRRFile)(str(path)) as file:
        _check_atoms(file.n_atoms, universe)
        end = 0
        for frame in file:
            yield frame.x * _ANGSTROM_PER_NM
            end = file._bytes_tell()  # its own end of file forgives a header that was cut short
        if end != path.stat().st_size:
            raise ValueError(f"the file is cut short: {path.stat().st_size - end} bytes follow the last whole frame")


def _other_frames(path: Path, universe: Any) -> Iterator[np.ndarray]:
    if str(path) != universe.filename:
        _check_dcd(path)
        universe.load_new(str(path))
    _check_atoms(universe.trajectory.n_atoms, universe)
    for frame in universe.trajectory:
        yield frame.positions


def _check_atoms(num_atoms: int, universe: Any) -> None:
    if num_atoms != len(universe.atoms):
        raise ValueError(f"the trajectory has {num_atoms} atoms and the topology {len(universe.atoms)}")


def _check_dcd(path: Path) -> None:
    """A DCD file says how many frames it has; MDAnalysis gives those that are there."""
    if path.suffix.lower() != ".dcd":
        return
    from MDAnalysis.lib.formats.libdcd import DCDFile

    with path.open("rb") as raw, DCDFile(str(path)) as file:
        head = raw.read(12)
        (announced,) = struct.unpack("<i" if head[:1] == b"T" else ">i", head[8:12])
        if announced > len(file):
            raise ValueError(f"its header announces {announced} frames, but only {len(file)} are whole")

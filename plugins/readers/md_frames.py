"""Reads the frames of a molecular dynamics trajectory one by one with MDAnalysis."""

import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from emprot_core.errors import EmprotError

_ANGSTROM_PER_NM = 10.0


def read_frames(path: Path, universe: Any) -> Iterator[np.ndarray]:
    """The positions (atoms, 3) of each frame in Angstrom, for the topology of an MDAnalysis Universe.

    Raises:
        EmprotError: the file is cut short, or has another number of atoms than the topology. On a damaged file the
            parsers of MDAnalysis may raise anything else.
    """
    is_xdr = path.suffix.lower() in (".xtc", ".trr")
    yield from _xdr_frames(path, universe) if is_xdr else _other_frames(path, universe)


def _xdr_frames(path: Path, universe: Any) -> Iterator[np.ndarray]:
    # Read frame by frame from the start: MDAnalysis' own reader first scans the whole file, writes an index beside it,
    # and silently drops a last frame that was cut short.
    from MDAnalysis.lib.formats.libmdaxdr import TRRFile, XTCFile

    with (XTCFile if path.suffix.lower() == ".xtc" else TRRFile)(str(path)) as file:
        _check_atoms(file.n_atoms, universe)
        end = 0
        for frame in file:
            yield frame.x * _ANGSTROM_PER_NM
            end = file._bytes_tell()  # the loop ends without an error at a header that was cut short
        if end != path.stat().st_size:
            raise EmprotError(f"the file is cut short: {path.stat().st_size - end} bytes follow the last whole frame")


def _other_frames(path: Path, universe: Any) -> Iterator[np.ndarray]:
    if str(path) != universe.filename:
        universe.load_new(str(path))
    _check_atoms(universe.trajectory.n_atoms, universe)
    for frame in universe.trajectory:
        yield frame.positions


def _check_atoms(num_atoms: int, universe: Any) -> None:
    if num_atoms != len(universe.atoms):
        raise EmprotError(f"the trajectory has {num_atoms} atoms and the topology {len(universe.atoms)}")


def dcd_note(path: Path) -> str:
    """What to note about a DCD file whose header counts more frames than it holds; "" for any other file.

    A simulation that was stopped early leaves such a file. MDAnalysis looks at the size, and not at the header.

    Raises:
        EmprotError: the file breaks off within a frame.
    """
    if path.suffix.lower() != ".dcd":
        return ""
    from MDAnalysis.lib.formats.libdcd import DCDFile

    with path.open("rb") as raw, DCDFile(str(path)) as file:
        head = raw.read(12)
        (announced,) = struct.unpack("<i" if head[:1] == b"T" else ">i", head[8:12])
        whole = file._header_size + file._firstframesize + (len(file) - 1) * file._framesize
        if path.stat().st_size != whole:
            raise EmprotError(
                f"it breaks off within a frame: {path.stat().st_size - whole} bytes follow the last of {len(file)} "
                "whole frames"
            )
        return f"its header counts {announced} frames, but {len(file)} were written" if announced > len(file) else ""

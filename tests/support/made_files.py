"""Trajectory files as programs and earlier pipelines write them: mdCATH, LMDB environments, XTC and its like."""

import gzip
import os
import pickle
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from backbones import ELEMENTS, NAMES, extended_chain, pdb_text, write_pdb

RESIDUES = 6


def write_mdcath(path: Path, **changes: Any) -> np.ndarray:
    """A domain with two temperatures of two replicas; gives the frames (4, residues, 5, 3) of 348/1."""
    h5py = pytest.importorskip("h5py")
    frames = extended_chain(4, RESIDUES, seed=1)
    atoms = 5 * RESIDUES
    with h5py.File(path, "w") as file:
        domain = file.create_group("1abcA00")
        domain["chain"] = np.array([b"A"] * atoms)
        domain["resname"] = np.array([b"ALA"] * atoms)
        domain["resid"] = np.repeat(np.arange(1, RESIDUES + 1), 5)
        domain["element"] = np.array([name[0].encode() for name in NAMES * RESIDUES])
        domain["z"] = np.array([ELEMENTS[name[0]] for name in NAMES * RESIDUES])
        domain["pdbProteinAtoms"] = changes.get("pdb", pdb_text(frames[:1]))
        for temperature in ("320", "348"):
            for replica in ("0", "1"):
                group = domain.create_group(f"{temperature}/{replica}")
                shaken = frames if (temperature, replica) == ("348", "1") else extended_chain(3, RESIDUES)
                group["coords"] = changes.get("coords", shaken.reshape(len(shaken), -1, 3))
                group["dssp"] = np.full((len(shaken), RESIDUES), b"C")
                group.attrs["numFrames"] = changes.get("num_frames", len(shaken))
    return frames


def compress_lz4(data: bytes) -> bytes:
    return pytest.importorskip("lz4.frame").compress(data)


COMPRESS = {"raw": bytes, "gzip": gzip.compress, "lz4": compress_lz4}


def record(frame: int, ids: np.ndarray) -> dict[str, Any]:
    return {
        "id": f"frame_{frame}.pdb",
        "resids": np.array([38, 39, 40, 41, 50, 51])[: len(ids)],
        "chains": np.array(["A"] * len(ids)),
        "cluster_ids": ids,
        "embeddings": np.zeros((len(ids), 4), np.float32),
    }


def write_lmdb(
    folder: Path, records: list[dict[str, Any]], compression: str = "gzip", metadata: dict[str, Any] | None = None
) -> Path:
    """An environment as the earlier pipelines wrote it: records in the string order of the file names."""
    lmdb = pytest.importorskip("lmdb")
    folder.mkdir(parents=True)
    pack = COMPRESS[compression]
    ordered = sorted(records, key=lambda r: str(r["id"]))
    with lmdb.open(str(folder), map_size=1 << 24) as environment, environment.begin(write=True) as transaction:
        for number, row in enumerate(ordered):
            transaction.put(str(number).encode(), pack(pickle.dumps(row)))
        table = {row["id"]: number for number, row in enumerate(ordered)}
        held = {"num_examples": len(records), "serialization_format": "pkl", "id_to_idx": table} | (metadata or {})
        for key, value in held.items():
            if value is not None:
                packed = pack(pickle.dumps(value)) if key == "id_to_idx" else str(value).encode()
                transaction.put(key.encode(), packed)
    return folder / "data.mdb"


class Attack:
    """Runs a command when it is unpickled."""

    def __init__(self, target: str):
        self.target = target

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (self.target,)


def write_trajectory(path: Path, frames: np.ndarray) -> Path:
    """(frames, residues, 5, 3) in the format of the suffix, beside its topology top.pdb."""
    mda = pytest.importorskip("MDAnalysis")
    topology = write_pdb(path.parent / "top.pdb", frames[:1])
    if path.suffix == ".pdb":
        return write_pdb(path, frames)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        universe = mda.Universe(str(topology))
        with mda.Writer(str(path), n_atoms=len(universe.atoms)) as writer:
            for frame in frames:
                universe.atoms.positions = frame.reshape(-1, 3)
                writer.write(universe.atoms)
    return path

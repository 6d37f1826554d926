"""Bad trajectories among good ones: each is named with what is wrong, and refused or skipped as the user chose."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from backbones import extended_chain, pdb_text
from emprot_plugins.prepare.prepare import Prepare
from emprot_plugins.readers.ids_npy import IdsNpy
from emprot_plugins.readers.lmdb_frames import LmdbFrames
from emprot_plugins.readers.md import MDTrajectory
from emprot_plugins.readers.mdcath_h5 import MdCath
from emprot_plugins.tokenizers.precomputed import Precomputed
from emprot_plugins.tokenizers.protein_blocks import ProteinBlocks
from made_files import Attack, record, write_lmdb, write_mdcath, write_trajectory

from emprot_core.data.store import TrajectoryStore

BY_FOLDER = MDTrajectory("top.pdb")


def write_good_and_bad(folder: Path, suffix: str, frames: np.ndarray) -> Path:
    """good/run and bad/run, each beside its top.pdb; gives the bad one."""
    for name, some in (("good", extended_chain(3, 8)), ("bad", frames)):
        (folder / name).mkdir()
        path = write_trajectory(folder / name / f"run.{suffix}", some)
    return path


def truncated_xtc(folder: Path) -> MDTrajectory:
    path = write_good_and_bad(folder, "xtc", extended_chain(5, 8))
    path.write_bytes(path.read_bytes()[:-30])
    return BY_FOLDER


def other_atom_count(folder: Path) -> MDTrajectory:
    path = write_good_and_bad(folder, "xtc", extended_chain(5, 8))
    (path.parent / "top.pdb").write_text(pdb_text(extended_chain(1, 7)))
    return BY_FOLDER


def missing_backbone_atom(folder: Path) -> MDTrajectory:
    path = write_good_and_bad(folder, "pdb", extended_chain(5, 8))
    path.write_text(pdb_text(extended_chain(5, 8), skip=((4, "O"),)))
    return MDTrajectory()


def nan_coordinate(folder: Path) -> MDTrajectory:
    frames = extended_chain(5, 8)
    frames[2, 4, 1, 1] = np.nan
    write_good_and_bad(folder, "trr", frames)
    return BY_FOLDER


def empty_xtc(folder: Path) -> MDTrajectory:
    write_good_and_bad(folder, "xtc", extended_chain(1, 8)).write_bytes(b"")
    return BY_FOLDER


def no_frames_dcd(folder: Path) -> MDTrajectory:
    path = write_good_and_bad(folder, "dcd", extended_chain(1, 8))
    one, two = path.read_bytes(), write_trajectory(path.parent / "two.DCD", extended_chain(2, 8)).read_bytes()
    header = bytearray(one[: 2 * len(one) - len(two)])
    header[8:12] = bytes(4)  # the number of frames
    path.write_bytes(bytes(header))
    return BY_FOLDER


def no_records(folder: Path) -> LmdbFrames:
    for name, count in (("good", 3), ("bad", 0)):
        write_lmdb(folder / name, [record(frame, np.arange(6)) for frame in range(count)])
    return LmdbFrames()


def record_with_code(folder: Path) -> LmdbFrames:
    for name in ("good", "bad"):
        rows = [record(frame, np.arange(6)) for frame in range(3)]
        if name == "bad":
            rows[1]["cluster_ids"] = Attack(str(folder / "ran"))
        write_lmdb(folder / name, rows)
    return LmdbFrames()


def hdf5_without_the_group(folder: Path) -> MdCath:
    h5py = pytest.importorskip("h5py")
    for name in ("good", "bad"):
        (folder / name).mkdir()
        write_mdcath(folder / name / "domain.h5")
    with h5py.File(folder / "bad" / "domain.h5", "a") as file:
        del file["1abcA00/348/1/coords"]
    return MdCath()


def id_beyond_the_vocabulary(folder: Path) -> IdsNpy:
    for name, ids in (("good", np.zeros((3, 4), int)), ("bad", np.eye(5, 4, dtype=int) * 10)):
        (folder / name).mkdir()
        np.save(folder / name / "ids.npy", ids)
    return IdsNpy()


CASES: list[tuple[Callable[[Path], Any], str, str]] = [
    (truncated_xtc, "*.xtc", r"bad/run\.xtc cannot be read .* at frame 4: "),
    (other_atom_count, "*.xtc", r"bad/run\.xtc .* at frame 0: the trajectory has 40 atoms and the topology 35"),
    (missing_backbone_atom, "run.pdb", r"bad/run\.pdb: 1 residues lack backbone atoms: ALA 4 \(no O\)"),
    (nan_coordinate, "*.trr", r"bad/run\.trr: frame 2, residue 4 \(ALA 5\) has a coordinate that is not finite"),
    (empty_xtc, "*.xtc", r"bad/run\.xtc cannot be read .* at frame 0: "),
    (no_frames_dcd, "*.dcd", r"bad/run\.dcd .* at frame 0: opened empty file. No frames are saved"),
    (no_records, "data.mdb", r"bad/data\.mdb has no frames, expected one or more; leave it out"),
    (record_with_code, "data.mdb", r"bad/data\.mdb: record 1: it asks for posix\.mkdir, expected numpy arrays"),
    (hdf5_without_the_group, "*.h5", r"bad/domain\.h5: /1abcA00/348/1 has no 'coords', but \['dssp'\]"),
    (id_beyond_the_vocabulary, "*.npy", r"bad/ids\.npy, frame 0, residue 0 has the ID 10, expected -1 .* to 9"),
]


@pytest.mark.parametrize(("write", "pattern", "message"), CASES, ids=[case[0].__name__ for case in CASES])
def test_a_bad_trajectory_is_named_and_refused_or_skipped_as_the_user_chose(
    tmp_path: Path, write: Callable[[Path], Any], pattern: str, message: str
) -> None:
    if pattern in ("*.xtc", "*.trr", "*.dcd", "run.pdb"):
        pytest.importorskip("MDAnalysis")
    (tmp_path / "md").mkdir()
    reader = write(tmp_path / "md")
    tokenizer = Precomputed(10) if isinstance(reader, LmdbFrames | IdsNpy) else ProteinBlocks()
    source = str(tmp_path / "md" / "**" / pattern)
    with pytest.raises(ValueError, match=rf"{message}.*Prepare\.on_error = 'skip'"):
        Prepare(source, reader, [tokenizer], str(tmp_path / "out")).run(None)  # type: ignore[arg-type]
    assert not (tmp_path / "out" / tokenizer.name).exists()
    Prepare(source, reader, [tokenizer], str(tmp_path / "out"), on_error="skip").run(None)  # type: ignore[arg-type]
    skipped = json.loads((tmp_path / "out" / f"{tokenizer.name}.report.json").read_text())["skipped"]
    kept = TrajectoryStore(tmp_path / "out" / tokenizer.name, verify=True).index["name"].tolist()
    assert len(skipped) == 1
    assert next(iter(skipped)).startswith("bad")
    assert kept
    assert not set(kept) & set(skipped)
    assert not (tmp_path / "md" / "ran").exists()

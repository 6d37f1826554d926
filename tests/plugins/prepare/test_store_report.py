"""What Prepare reports of a store, and what it finds suspicious."""

import hashlib
from pathlib import Path

import emprot_plugins.prepare.prepare  # noqa: F401  registers the job
import numpy as np
import pytest
from emprot_plugins.prepare.prepare import Prepare
from preparing import FrameParity, LengthReader, prepare, prepared_ids, report, run, write_files

from emprot_core import registry
from emprot_core.contracts import Structure
from emprot_core.data.store import TrajectoryStore


@pytest.fixture
def files(tmp_path: Path) -> Path:
    return write_files(tmp_path)


def test_the_report_holds_the_figures_of_the_store(files: Path) -> None:
    run(prepare(files))
    got = report(files)
    assert (got["num_trajectories"], got["num_frames"], got["num_tokens"]) == (3, 19, 10 * 3 + 4 * 3 + 5 * 2)
    assert (got["ids_used"], got["num_clusters"], got["residues"]) == (2, 2, [2, 3])
    assert (got["persistence_accuracy"], got["change_rate"]) == (0.0, 1.0)
    assert got["entropy_bits"] == pytest.approx(1.0, abs=0.01)
    assert got["frames_per_s"] > 0
    ids = TrajectoryStore(files.parent / "out" / "parity").ids(1)
    assert got["sha256"]["apo/r2"] == hashlib.sha256(np.ascontiguousarray(ids)).hexdigest()
    assert any("mostly noise" in warning for warning in got["warnings"])


def test_duplicates_are_named(files: Path) -> None:
    (files / "apo" / "r2.txt").write_text("10 3")
    run(prepare(files))
    assert "apo/r1, apo/r2 have the same IDs: duplicates?" in report(files)["warnings"]


def test_a_residue_that_never_has_an_id_is_named_where_the_ids_are_the_users(tmp_path: Path) -> None:
    ids = np.zeros((5, 6), np.int16)
    ids[:, 2] = ids[:3, 4] = -1
    np.save(tmp_path / "a.npy", ids)
    found = prepared_ids(tmp_path)["warnings"]
    assert "a: 1 of 6 residues have no ID in any frame: 2" in found


def test_an_id_beyond_the_vocabulary_is_named_with_file_frame_and_residue(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.array([[0, 1], [2, 50]]))
    with pytest.raises(ValueError, match=r"a\.npy, frame 1, residue 1 has the ID 50, expected -1 \(missing\) to 49"):
        prepared_ids(tmp_path)


def walk(num_frames: int, persistence: float) -> np.ndarray:
    """(frames, 40) IDs that stay with this probability."""
    random = np.random.default_rng(0)
    ids = random.integers(0, 50, (num_frames, 40))
    for frame in range(1, num_frames):
        stay = random.random(40) < persistence
        ids[frame, stay] = ids[frame - 1, stay]
    return ids


@pytest.mark.parametrize(
    ("order", "message"),
    [
        (np.arange(250), ""),
        (np.array(sorted(map(str, range(250)))).astype(int), "wrong time order"),
        (np.array(sorted(map(str, range(1, 251)))).astype(int) - 1, "wrong time order"),
        (np.random.default_rng(0).permutation(250), "no order in time"),
    ],
)
def test_frames_in_another_order_than_that_of_time_are_noticed(tmp_path: Path, order: np.ndarray, message: str) -> None:
    np.save(tmp_path / "a.npy", walk(250, 0.7)[order])
    found = [warning for warning in prepared_ids(tmp_path)["warnings"] if "order" in warning]
    assert len(found) == bool(message)
    assert all(message in warning for warning in found)


class NamedReader(LengthReader):
    """As LengthReader, with one sequence for all; the group is the folder."""

    def read(self, path: Path) -> Structure:
        structure = super().read(path)
        count = structure.coordinates.shape[1]
        residues = np.array([(number, "ALA") for number in range(count)], [("number", np.int32), ("name", "U4")])
        return structure._replace(residues=residues, group=path.parent.name)


def test_the_same_protein_under_two_names_is_noticed_and_can_be_joined(files: Path) -> None:
    (files / "holo" / "r1.txt").write_text("5 3")
    for group_by, output in (("group", "out"), ("sequence", "joined")):
        source, target = str(files / "**" / "*.txt"), str(files.parent / output)
        run(Prepare(source, NamedReader(), [FrameParity()], target, group_by=group_by))  # type: ignore[arg-type]
    warning = "the groups apo, holo have one sequence of residues: a split by group may put the same protein on both"
    assert any(text.startswith(warning) for text in report(files)["warnings"])
    joined = TrajectoryStore(files.parent / "joined" / "parity")
    assert joined.index["group"].tolist() == ["apo", "apo", "apo"]


def test_a_protein_on_both_sides_of_the_split_is_named(files: Path) -> None:
    (files / "holo" / "r1.txt").write_text("5 3")
    split = registry.get("split", "ByGroup")(train=["apo"], test=["holo"], validation=0.0)
    source, target = str(files / "**" / "*.txt"), str(files.parent / "out")
    run(Prepare(source, NamedReader(), [FrameParity()], target, split=split))
    assert any("holo/r1 is held out, but its protein is in training" in text for text in report(files)["warnings"])

"""Frames that are chosen, trajectories that are added, two Prepares at once, parts that were damaged, kills."""

import multiprocessing
from pathlib import Path

import numpy as np
import pytest
from emprot_plugins.prepare import prepare as prepare_module
from emprot_plugins.prepare import publishing
from emprot_plugins.prepare.selected_frames import SelectedFrames
from preparing import FrameParity, LengthReader, prepare, report, run, write_files

from emprot_core.contracts import Structure
from emprot_core.data.store import StoreError, TrajectoryStore
from emprot_core.errors import EmprotError


@pytest.fixture
def files(tmp_path: Path) -> Path:
    return write_files(tmp_path)


def store(files: Path) -> TrajectoryStore:
    return TrajectoryStore(files.parent / "out" / "parity", verify=True)


class Named(LengthReader):
    """With the names of the residues, and a note."""

    def read(self, path):
        structure = super().read(path)
        names = np.array([("ALA",)] * structure.coordinates.shape[1], [("name", "U3")])
        return structure._replace(residues=names, notes=("the box is odd",))


class Chunked:
    """40 frames of two residues in chunks of 7; x of every atom is the frame."""

    def __init__(self, time_step_ns: float = float("nan")):
        self.time_step_ns = time_step_ns

    def read(self, path):
        for first in range(0, 40, 7):
            frames = np.arange(first, min(first + 7, 40), dtype=np.float32)
            coordinates = np.zeros((len(frames), 2, 4, 3), np.float32) + frames[:, None, None, None]
            yield Structure(coordinates, np.zeros(2, int), time_step_ns=self.time_step_ns)


@pytest.mark.parametrize(
    ("choice", "expected"),
    [
        ((0, None, 3), range(0, 40, 3)),
        ((5, 20, 4), range(5, 20, 4)),
        ((39, None, 1), [39]),
        (("1 ns", "4 ns", "400 ps"), range(5, 20, 2)),
    ],
)
def test_frames_are_chosen_by_number_or_time_across_chunks(choice, expected):
    chunks = list(SelectedFrames(Chunked(0.2), *choice).read(Path("x")))
    frames = np.concatenate([chunk.coordinates[:, 0, 0, 0] for chunk in chunks])
    assert frames.tolist() == list(expected)
    stride = 2 if choice[2] == "400 ps" else choice[2]
    assert all(chunk.time_step_ns == pytest.approx(0.2 * stride) for chunk in chunks)


@pytest.mark.parametrize(
    ("choice", "time_step_ns", "message"),
    [
        ((40, None, 1), 0.2, "x has 40 frames, of which start = 40"),
        (("1 ns", None, 1), float("nan"), "Prepare.start is '1 ns', but the time between frames is unknown"),
        ((0, None, "0.3 ns"), 0.2, "Prepare.stride is '0.3 ns', which is 1.5 frames of 0.2 ns"),
    ],
)
def test_a_choice_that_leaves_nothing_or_has_no_time_is_refused(choice, time_step_ns, message):
    with pytest.raises(EmprotError, match=message):
        list(SelectedFrames(Chunked(time_step_ns), *choice).read(Path("x")))


@pytest.mark.parametrize(("name", "value"), [("start", -1), ("stride", 0), ("stride", "2"), ("stop", "soon")])
def test_a_wrong_choice_is_refused_at_once(files, name, value):
    with pytest.raises(EmprotError, match=f"Prepare.{name} is {value!r}, expected"):
        prepare(files, **{name: value})


def test_a_store_holds_the_chosen_frames_and_says_so(files):
    run(prepare(files, start=1, stride=2))
    assert store(files).index["num_frames"].tolist() == [5, 2, 2]
    assert store(files).prepared == {"start": 1, "stop": None, "stride": 2}
    assert set(store(files).ids(0)[:, 1].tolist()) == {1}


def test_other_frames_are_encoded_anew(files):
    (files / "holo" / "r1.txt").write_text("")
    with pytest.raises(ValueError, match="is empty"):
        run(prepare(files))
    (files / "holo" / "r1.txt").write_text("5 2")
    run(prepare(files, stride=2))
    assert store(files).index["num_frames"].tolist() == [5, 2, 3]


def test_trajectories_are_added_to_a_store_where_asked_for(files):
    run(prepare(files, source=str(files / "apo" / "*.txt")))
    before = store(files)
    old = [before.ids(row).copy() for row in range(2)]
    (files / "holo" / "r3.txt").write_text("6 4")
    run(prepare(files, source=str(files / "holo" / "r3.txt"), add=True))
    after = store(files)
    assert after.index["name"].tolist() == ["r1", "r2", "r3"]
    assert all((after.ids(row) == ids).all() for row, ids in enumerate(old))
    assert after.ids(2).shape == (6, 4)
    assert after.digest != before.digest
    assert [path.name for path in (files.parent / "out").iterdir() if path.is_dir()] == ["parity"]


def test_what_cannot_be_added_is_refused_and_the_store_stays(files, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    run(prepare(files, source=str(files / "apo" / "*.txt")))
    before = store(files).digest
    with pytest.raises(StoreError, match="two trajectories named 'r1'"):
        run(prepare(files, source=str(files / "holo" / "r1.txt"), add=True))

    (files / "holo" / "r3.txt").write_text("6 4")

    class Other(FrameParity):
        def description(self):
            return {"name": "another"}

    with pytest.raises(StoreError, match="has another vocabulary than these tokenizers give"):
        run(prepare(files, Other(), source=str(files / "holo" / "r3.txt"), add=True))
    assert store(files).digest == before
    with pytest.raises(EmprotError, match=r"Prepare\.add takes neither"):
        prepare(files, add=True, compact=True)
    new = prepare_module.Prepare(str(files / "apo" / "*.txt"), LengthReader(), [FrameParity()], "none", add=True)
    with pytest.raises(StoreError, match="is not a trajectory store"):
        run(new)


@pytest.mark.parametrize("what", ["ids", "structure.npz", "json"])
def test_a_damaged_part_is_named_and_encoded_again(files, caplog, monkeypatch, what):
    monkeypatch.setattr("preparing.LengthReader", Named)
    (files / "holo" / "r1.txt").write_text("")
    with pytest.raises(ValueError, match="is empty"):
        run(prepare(files))
    part = sorted((files.parent / "out" / ".parts").glob(f"*.{what}"))[0]
    content = bytearray(part.read_bytes())
    content[len(content) // 2] ^= 1
    part.write_bytes(content)
    (files / "holo" / "r1.txt").write_text("5 2")
    with caplog.at_level("WARNING"):
        run(prepare(files))
    assert part.name in caplog.text
    assert "is encoded again" in caplog.text
    assert store(files).index["num_frames"].tolist() == [10, 4, 5]
    assert store(files).ids(0)[:, 1].tolist() == [0, 1] * 5


def test_a_kill_between_the_renames_of_two_stores_is_finished_by_the_same_command(files, monkeypatch, caplog):
    class Second(FrameParity):
        name = "second"

    out, rename = files.parent / "out", publishing.os.rename

    def dies(source, target):
        if Path(target) == out / "second":
            raise KeyboardInterrupt
        rename(source, target)

    job = prepare(files, FrameParity(), Second())
    with monkeypatch.context() as patched:
        patched.setattr(publishing.os, "rename", dies)
        with pytest.raises(KeyboardInterrupt):
            run(job)
    assert ((out / "parity").is_dir(), (out / "second").is_dir()) == (True, False)
    with caplog.at_level("INFO"):
        run(prepare(files, FrameParity(), Second()))
    assert "finished what an interrupted Prepare began in" in caplog.text
    assert (TrajectoryStore(out / "second", verify=True).ids(0) == store(files).ids(0)).all()
    assert not (out / ".parts").exists()


def race(source: str, out: str, stride: int, barrier, results) -> None:
    job = prepare_module.Prepare(source, LengthReader(), [FrameParity()], out, stride=stride)
    barrier.wait()
    try:
        run(job)
        results.put((stride, source, "done"))
    except StoreError as error:
        results.put((stride, source, str(error)))


@pytest.mark.parametrize("pair", range(2))
def test_of_two_prepares_at_once_one_is_refused_by_name_and_the_store_is_that_of_the_other(files, tmp_path, pair):
    for i in range(40):
        (files / f"more{i}.txt").write_text("50 4")
    sources = [str(files / "more*.txt"), str(files / "**" / "*.txt")] if pair else [str(files / "more*.txt")] * 2
    fork = multiprocessing.get_context("fork")
    barrier, results = fork.Barrier(2), fork.Queue()
    both = [
        fork.Process(target=race, args=(source, str(tmp_path / "out"), 1 + i, barrier, results))
        for i, source in enumerate(sources)
    ]
    for process in both:
        process.start()
    told = sorted([results.get(timeout=60) for _ in both], key=lambda result: result[2] == "done")
    for process in both:
        process.join()
    (_, _, message), (stride, source, done) = told
    assert done == "done"
    assert "another Prepare is writing into" in message or "parity exists" in message
    made = store(files)
    alone = tmp_path / "alone"
    run(prepare_module.Prepare(source, LengthReader(), [FrameParity()], str(alone), stride=stride))
    expected = TrajectoryStore(alone / "parity")
    assert made.index["name"].tolist() == expected.index["name"].tolist()
    assert all((made.ids(row) == expected.ids(row)).all() for row in range(len(made)))


def test_a_note_of_many_trajectories_is_told_once_with_a_count(files, monkeypatch):
    monkeypatch.setattr("preparing.LengthReader", Named)
    run(prepare(files))
    (line,) = [text for text in report(files)["warnings"] if "the box is odd" in text]
    assert line == "3 trajectories (apo/r1, apo/r2, holo/r1): the box is odd"

"""The checkpoint store: whole or not there, hashed, rotated, and falling back."""

import resource
import shutil
from contextlib import contextmanager

import pytest
import torch

from emprot_core.checkpoint import CheckpointError, CheckpointStore, load_checkpoint
from emprot_core.checkpoint.appended import AppendedFiles, faults_of
from emprot_core.files import (
    Damaged,
    check_hashed,
    read_hashed_json,
    sha256,
    write_atomically,
    write_hashed_json,
    write_hashed_text,
)
from emprot_core.jobs.verify import verify_run


def state(step: int, due: bool = False) -> dict:
    weights = torch.full((100,), float(step))
    return {"model_state_dict": {"w": weights}, "step": step, "hooks": {}, "due": ["validation"] * due}


def flip_a_bit(path, at: int | None = None, bit: int = 0) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2 if at is None else at] ^= 1 << bit
    path.write_bytes(data)


@contextmanager
def file_size_limit(limit: int):
    """The quota of a disk that is full: no file may grow beyond `limit` bytes."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.fixture
def store(tmp_path) -> CheckpointStore:
    store = CheckpointStore(tmp_path / "checkpoints")
    for step in (2, 4, 6):
        store.save(state(step), {})
    return store


def test_old_steps_are_rotated_out(store) -> None:
    assert store.names() == ["step-00000004.pt", "step-00000006.pt"]
    assert sorted(p.name for p in store.directory.glob("*.pt")) == store.names()


def test_the_newest_checkpoint_comes_back_whole(store) -> None:
    path, loaded = store.newest_valid()
    assert path.name == "step-00000006.pt"
    assert torch.equal(loaded["model_state_dict"]["w"], state(6)["model_state_dict"]["w"])


@pytest.mark.parametrize("damage", ["flip", "truncate", "empty", "delete"])
def test_a_damaged_newest_checkpoint_is_named_and_the_one_before_used(store, damage, caplog) -> None:
    newest = store.directory / "step-00000006.pt"
    if damage == "flip":
        flip_a_bit(newest)
    elif damage == "delete":
        newest.unlink()
    else:
        newest.write_bytes(newest.read_bytes()[: 100 if damage == "truncate" else 0])
    path, loaded = store.newest_valid()
    assert (path.name, loaded["step"]) == ("step-00000004.pt", 4)
    assert "step-00000006.pt" in caplog.text
    assert list(store.faults()) == ["step-00000006.pt"]


def test_no_checkpoint_is_no_error(tmp_path) -> None:
    assert CheckpointStore(tmp_path).newest_valid() is None


def test_a_step_is_one_file_whatever_it_is_called(store) -> None:
    store.save(state(8), {"best.pt": 8, "final.pt": 8})
    files = [store.directory / name for name in ("step-00000008.pt", "best.pt", "final.pt")]
    assert len({path.stat().st_ino for path in files}) == 1
    assert store.load("best.pt")["step"] == store.load("final.pt")["step"] == 8


def test_a_file_stays_as_long_as_it_has_a_name(store) -> None:
    for step in (8, 10, 12):
        store.save(state(step), {"best.pt": 8})
    assert store.names() == ["best.pt", "step-00000008.pt", "step-00000010.pt", "step-00000012.pt"]
    store.save(state(14), {"best.pt": 14})
    assert store.names() == ["best.pt", "step-00000012.pt", "step-00000014.pt"]
    assert sorted(p.name for p in store.directory.glob("*.pt")) == store.names()


def test_a_file_system_without_hard_links_gets_copies(store, monkeypatch) -> None:
    def refuse(*_):
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr("os.link", refuse)
    store.save(state(8), {"best.pt": 8})
    (store.directory / "step-00000008.pt").unlink()
    assert store.newest_valid()[0].name == "best.pt"
    assert store.load("step-00000008.pt")["step"] == 8


def test_a_state_that_left_something_to_do_is_replaced_by_the_one_where_it_is_done(store) -> None:
    store.save(state(8, due=True), {})
    assert store.names() == ["step-00000006.pt", "step-00000008-due.pt"]
    store.save(state(8), {"best.pt": 8})
    assert store.names() == ["best.pt", "step-00000006.pt", "step-00000008.pt"]
    assert store.newest_valid()[1]["due"] == []


@pytest.mark.parametrize("moment", ["write_atomically", "write_hashed_json", "give_name"])
def test_a_save_that_dies_is_finished_when_the_run_goes_on(store, monkeypatch, moment) -> None:
    store.save(state(8), {"best.pt": 8})

    def dies(*arguments) -> None:
        if moment == "write_hashed_json":
            write_hashed_json(*arguments)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(f"emprot_core.files.{moment}", dies)
        with pytest.raises(KeyboardInterrupt):
            store.save(state(10), {"best.pt": 10})
    loaded = store.newest_valid()[1]
    assert loaded["step"] == (8 if moment == "write_atomically" else 10)
    store.go_on_from(loaded["step"], due=False)
    store.save(state(10), {"best.pt": 10})
    assert store.names() == ["best.pt", "step-00000008.pt", "step-00000010.pt"]
    assert sorted(p.name for p in store.directory.glob("*")) == ["best.pt", "index.json", *store.names()[1:]]
    assert not store.faults()


def test_going_on_moves_what_is_damaged_aside_and_says_so(store, caplog) -> None:
    flip_a_bit(store.directory / "step-00000006.pt")
    damaged = (store.directory / "step-00000006.pt").read_bytes()
    store.go_on_from(4, due=False)
    assert store.names() == ["step-00000004.pt"]
    assert (store.directory / "aside-1" / "step-00000006.pt").read_bytes() == damaged
    assert "moved aside" in caplog.text


@pytest.mark.parametrize("loss", ["missing", "dangling", "damaged"])
def test_a_lost_index_is_named_and_the_checkpoints_are_adopted(store, loss, caplog) -> None:
    store.save(state(8), {"best.pt": 6})
    index = store.directory / "index.json"
    if loss == "damaged":
        flip_a_bit(index)
    else:
        index.unlink()
    if loss == "dangling":
        index.symlink_to(store.directory / "nowhere")
    fresh = CheckpointStore(store.directory)
    assert fresh.newest_valid()[1]["step"] == 8
    assert f"index.json is {'damaged' if loss == 'damaged' else 'missing'}" in caplog.text
    fresh.go_on_from(8, due=False)
    assert fresh.load("best.pt")["step"] == 6
    assert CheckpointStore(store.directory).names() == ["best.pt", "step-00000006.pt", "step-00000008.pt"]


def test_a_file_that_is_gone_under_one_name_is_found_under_another(store) -> None:
    store.save(state(8), {"best.pt": 8})
    (store.directory / "step-00000008.pt").unlink()
    path, loaded = store.newest_valid()
    assert (path.name, loaded["step"]) == ("best.pt", 8)


def test_a_disk_that_cannot_be_read_is_named_and_another_checkpoint_used(store, monkeypatch, caplog) -> None:
    def fails(path):
        if path.name == "step-00000006.pt":
            raise OSError(5, "Input/output error")
        return sha256(path)

    monkeypatch.setattr("emprot_core.files.sha256", fails)
    assert store.newest_valid()[1]["step"] == 4
    assert "step-00000006.pt cannot be read (Input/output error)" in caplog.text


def test_any_flipped_bit_is_seen(store, caplog) -> None:
    newest = store.directory / "step-00000006.pt"
    whole = newest.read_bytes()
    drawn = torch.randint(0, 8 * len(whole), (40,), generator=torch.Generator().manual_seed(0)).tolist()
    for place in [0, 8 * len(whole) - 1, *drawn]:
        newest.write_bytes(whole)
        flip_a_bit(newest, place // 8, place % 8)
        caplog.clear()
        assert store.newest_valid()[0].name == "step-00000004.pt"
        assert "step-00000006.pt is damaged" in caplog.text


def test_a_damaged_index_is_named_and_the_checkpoints_judged_by_their_crc(store, caplog) -> None:
    index = store.directory / "index.json"
    whole = index.read_bytes()
    for at in range(0, len(whole), 7):
        index.write_bytes(whole)
        flip_a_bit(index, at, at % 8)
        fresh = CheckpointStore(store.directory)
        caplog.clear()
        assert fresh.newest_valid()[1]["step"] == 6
        assert "index.json is damaged" in caplog.text
    flip_a_bit(store.directory / "step-00000006.pt")
    assert CheckpointStore(store.directory).newest_valid()[1]["step"] == 4
    store.save(state(8), {})
    assert CheckpointStore(store.directory).names() == ["step-00000004.pt", "step-00000008.pt"]
    assert not store.faults()


def test_what_a_killed_write_left_is_removed_and_nothing_else(store) -> None:
    for name in (".step-00000007.pt.partial", ".index.json.partial"):
        (store.directory / name).write_bytes(b"half")
    (store.directory / "step-00000006-mine.pt").write_bytes(b"a copy of the user's")
    store.save(state(8), {})
    left = {path.name for path in store.directory.iterdir()}
    assert left == {"index.json", "step-00000006.pt", "step-00000008.pt", "step-00000006-mine.pt"}


def test_a_copy_of_the_users_stays_where_it_is_even_without_an_index(store) -> None:
    copy = store.directory / "step-00000006-mine.pt"
    shutil.copyfile(store.directory / "step-00000006.pt", copy)
    (store.directory / "index.json").unlink()
    store.go_on_from(4, due=False)
    store.save(state(8), {})
    assert store.names() == ["step-00000004.pt", "step-00000008.pt"]
    assert torch.equal(load_checkpoint(copy)["model_state_dict"]["w"], state(6)["model_state_dict"]["w"])


def test_a_full_disk_is_named_and_the_checkpoints_before_it_stand(store) -> None:
    large = {**state(8), "model_state_dict": {"w": torch.zeros(100_000)}}
    with file_size_limit(50_000), pytest.raises(CheckpointError, match=r"step-00000008\.pt could not be") as caught:
        store.save(large, {})
    assert "File too large" in str(caught.value)
    assert "untouched" in str(caught.value)
    assert not store.faults()
    assert store.newest_valid()[1]["step"] == 6
    assert not list(store.directory.glob(".*"))


def test_a_disk_that_gives_back_other_bytes_is_noticed_before_the_rename(tmp_path, monkeypatch) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"old")
    monkeypatch.setattr("emprot_core.files.sha256", lambda path: "0" * 64)
    with pytest.raises(OSError, match="other bytes than were written"):
        write_atomically(path, b"new")
    assert path.read_bytes() == b"old"


def test_self_hashed_files_see_any_flipped_bit(tmp_path) -> None:
    record = {"status": "finished", "scores": [0.1, None, 2.5e-7], "nested": {"a": [1, 2]}}
    write_hashed_json(tmp_path / "result.json", record)
    write_hashed_text(tmp_path / "config.gin", "run.seed = 0\n")
    assert read_hashed_json(tmp_path / "result.json") == record
    for name in ("result.json", "config.gin"):
        path = tmp_path / name
        whole = path.read_bytes()
        check_hashed(path)
        for place in range(0, 8 * len(whole), 13):
            flip_a_bit(path, place // 8, place % 8)
            with pytest.raises(Damaged, match=name):
                check_hashed(path)
            path.write_bytes(whole)


def test_files_that_grow_are_cut_back_to_what_was_measured(tmp_path, caplog) -> None:
    files = AppendedFiles(tmp_path, "events*")
    (tmp_path / "events.1").write_bytes(b"one")
    measured = files.measure()
    (tmp_path / "events.1").write_bytes(b"one and more")
    grown = files.measure()
    assert grown["events.1"] == AppendedFiles(tmp_path, "events*").measure()["events.1"]
    (tmp_path / "events.2").write_bytes(b"two")
    (tmp_path / "other").write_bytes(b"stays")
    files.cut_back(measured)
    left = {path.name: path.read_bytes() for path in tmp_path.iterdir() if path.is_file()}
    assert left == {"events.1": b"one", "other": b"stays"}
    assert (tmp_path / "aside-1" / "events.2").read_bytes() == b"two"
    assert files.measure() == measured
    assert "aside-1: events.2" in caplog.text
    (tmp_path / "events.1").write_bytes(b"onf")
    files.cut_back({**measured, "events.0": {"size": 1, "sha256": ""}})
    assert "events.1 is damaged" in caplog.text
    assert "events.0 is missing" in caplog.text
    assert len(faults_of(tmp_path, measured)) == 1


def test_a_failing_write_leaves_the_old_file_and_no_other(tmp_path, monkeypatch) -> None:
    path = tmp_path / "file"
    write_atomically(path, b"old")

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match="No space left"):
        write_atomically(path, b"new")
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_checkpoint_that_would_run_code_is_refused(tmp_path) -> None:
    class Evil:
        def __reduce__(self):
            return (print, ("executed",))

    torch.save({"model_state_dict": Evil()}, tmp_path / "evil.pt")
    with pytest.raises(CheckpointError, match="not a readable checkpoint"):
        load_checkpoint(tmp_path / "evil.pt")


@pytest.mark.parametrize(("content", "message"), [(b"junk", "not a readable checkpoint"), (None, "is not a file")])
def test_a_file_that_is_no_checkpoint_is_named(tmp_path, content, message: str) -> None:
    path = tmp_path / "some.pt"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(CheckpointError, match=message) as caught:
        load_checkpoint(path)
    assert str(path) in str(caught.value)


def test_a_file_without_weights_is_no_checkpoint(tmp_path) -> None:
    torch.save({"something": 1}, tmp_path / "other.pt")
    with pytest.raises(CheckpointError, match="no model_state_dict"):
        load_checkpoint(tmp_path / "other.pt")


def test_verify_names_every_file_and_the_damaged_one(store) -> None:
    flip_a_bit(store.directory / "step-00000004.pt")
    lines = verify_run(store.directory.parent)
    assert lines[0].startswith("checkpoints/step-00000004.pt: damaged")
    assert lines[1:] == ["checkpoints/step-00000006.pt: ok", "checkpoints/index.json: ok"]


def test_verify_of_something_else_is_refused(tmp_path) -> None:
    with pytest.raises(CheckpointError, match="nowhere does not exist; give the directory of a run"):
        verify_run(tmp_path / "nowhere")
    with pytest.raises(CheckpointError, match="holds no run"):
        verify_run(tmp_path)
    (tmp_path / "file").touch()
    with pytest.raises(CheckpointError, match="file is no directory"):
        verify_run(tmp_path / "file")


def test_verify_of_a_run_without_its_index_or_checkpoints_calls_the_index_missing(store) -> None:
    (store.directory / "index.json").unlink()
    assert "checkpoints/index.json: damaged: it is missing" in verify_run(store.directory.parent)
    write_hashed_json(store.directory.parent / "result.json", {"status": "finished"})
    shutil.rmtree(store.directory)
    assert verify_run(store.directory.parent) == ["result.json: ok", "checkpoints/index.json: damaged: it is missing"]


def test_what_is_measured_is_the_size_and_the_hash_of_all_that_was_appended(tmp_path) -> None:
    files = AppendedFiles(tmp_path, "log*")
    for part in (b"abc", b"de", b""):
        with (tmp_path / "log").open("ab") as file:
            file.write(part)
        measured = files.measure()["log"]
        assert measured == {"size": (tmp_path / "log").stat().st_size, "sha256": sha256(tmp_path / "log")}
    assert files.newest() == "log"
    assert AppendedFiles(tmp_path, "other*").newest() == ""


def test_a_name_that_is_not_there_is_told_with_those_that_are(store, tmp_path) -> None:
    with pytest.raises(
        CheckpointError, match=r"has no checkpoint best\.pt; it has step-00000004\.pt, step-00000006\.pt"
    ):
        store.load("best.pt")
    with pytest.raises(CheckpointError, match=r"has no checkpoint best\.pt; it has none"):
        CheckpointStore(tmp_path / "empty").load("best.pt")


def test_a_damaged_checkpoint_that_was_asked_for_is_named_with_its_fault(store) -> None:
    flip_a_bit(store.directory / "step-00000004.pt")
    with pytest.raises(CheckpointError, match=r"step-00000004\.pt is damaged: .*; restore it, or train again into"):
        store.load("step-00000004.pt")


def test_a_store_that_was_made_again_keeps_what_it_has(store, caplog) -> None:
    again = CheckpointStore(store.directory)
    again.create()
    assert again.names() == store.names()
    assert not again.was_never_saved_to()
    assert not caplog.messages


def test_a_lost_index_is_told_once_and_its_files_are_judged_by_themselves(store, caplog) -> None:
    (store.directory / "index.json").unlink()
    again = CheckpointStore(store.directory)
    assert [again.names(), again.names()] == [["step-00000004.pt", "step-00000006.pt"]] * 2
    (text,) = caplog.messages
    assert text.endswith("index.json is missing; the checkpoints beside it are judged by their own CRC-32")


def test_a_state_that_is_due_keeps_its_name_without_an_index(tmp_path) -> None:
    store = CheckpointStore(tmp_path / "checkpoints")
    store.save(state(3, due=True), {})
    (store.directory / "index.json").unlink()
    assert CheckpointStore(store.directory).names() == ["step-00000003-due.pt"]
    store.go_on_from(3, due=True)
    assert (store.directory / "step-00000003-due.pt").exists()

"""The checkpoint store: whole or not there, hashed, rotated, and falling back."""

import pytest
import torch

from emprot_core.checkpoint import CheckpointError, CheckpointStore, load_checkpoint, verify_run
from emprot_core.checkpoint.files import write_atomically


def state(step: int) -> dict:
    return {"model_state_dict": {"w": torch.full((100,), float(step))}, "step": step}


def flip_a_bit(path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


@pytest.fixture
def store(tmp_path) -> CheckpointStore:
    store = CheckpointStore(tmp_path / "checkpoints")
    for step in (2, 4, 6):
        store.save_step(state(step), step, keep_last=2)
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
    assert [fault.path.name for fault in store.faults()] == ["step-00000006.pt"]


def test_no_checkpoint_is_no_error(tmp_path) -> None:
    assert CheckpointStore(tmp_path).newest_valid() is None


def test_best_is_replaced_in_place(store) -> None:
    for step in (2, 4):
        store.save_named("best.pt", state(step), step, metric=1.0 / step)
    assert store.load("best.pt")["step"] == 4
    assert not store.faults()


@pytest.mark.parametrize("moment", ["before the rename", "after the rename"])
def test_best_is_valid_when_the_process_dies_around_its_rename(store, monkeypatch, moment) -> None:
    store.save_named("best.pt", state(2), 2)

    def dies(self, index) -> None:
        if any("next_sha256" in entry for entry in index.values()):
            write(self, index)
            if moment == "after the rename":
                return
        raise KeyboardInterrupt

    write = CheckpointStore._write_index
    monkeypatch.setattr(CheckpointStore, "_write_index", dies)
    with pytest.raises(KeyboardInterrupt):
        store.save_named("best.pt", state(4), 4)
    monkeypatch.undo()
    assert not store.faults()
    assert store.load("best.pt")["step"] == (2 if moment == "before the rename" else 4)


def test_a_failing_write_leaves_the_old_file_and_no_other(tmp_path) -> None:
    path = tmp_path / "file"
    write_atomically(path, lambda file: file.write(b"old") and None)

    def full(file) -> None:
        file.write(b"new")
        raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space left"):
        write_atomically(path, full)
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
    assert lines[1] == "step-00000006.pt: ok"
    assert lines[0].startswith("step-00000004.pt: damaged")


def test_verify_of_something_else_is_refused(tmp_path) -> None:
    with pytest.raises(CheckpointError, match="holds no checkpoints"):
        verify_run(tmp_path)


def test_an_index_that_cannot_be_read_is_named(store) -> None:
    (store.directory / "index.json").write_text("{")
    with pytest.raises(CheckpointError, match=r"index\.json cannot be read"):
        store.newest_valid()

"""Mirror: a run outlives its directory, whatever happens while it is copied."""

import shutil
import signal
import sys
from pathlib import Path

import pytest
from emprot_plugins.hooks.mirrored_files import MirroredFiles
from emprot_plugins.hooks.remote_folder import RemoteFolder
from runs_in_forks import RUN, assert_same_outcome, bind, output
from trainings import hook

from emprot_core.checkpoint import CheckpointStore
from emprot_core.errors import EmprotError
from emprot_core.hooks.base import RunInfo
from emprot_core.jobs.verify import verify_run

URL = "memory://far/run"
MIRRORED = [*RUN, *bind("Trainer.extra_hooks=[@hooks.EMA(), @hooks.Mirror()]", "Mirror.url='file:../far/{name}'")]


@pytest.fixture
def memory():
    import fsspec

    system = fsspec.filesystem("memory")
    yield system
    if system.exists("/far"):
        system.rm("/far", recursive=True)


@pytest.fixture
def local(tmp_path: Path) -> Path:
    """The directory of a run after step 1."""
    folder = tmp_path / "run"
    folder.mkdir()
    (folder / "config.gin").write_text("a config")
    (folder / "run.lock").touch()
    save(folder, 1)
    return folder


def save(folder: Path, step: int) -> None:
    """What a run does at a checkpoint."""
    with (folder / "metrics.jsonl").open("a") as file:
        file.write(f"line {step}\n")
    state = {"step": step, "due": [], "model_state_dict": {}}
    CheckpointStore(folder / "checkpoints").save(state, {"best.pt": step}, keep_last=1)


def content(folder: Path) -> dict[str, bytes]:
    paths = [path for path in folder.rglob("*") if path.is_file() and path.name not in ("run.lock", "mirror.json")]
    return {str(path.relative_to(folder)): path.read_bytes() for path in paths}


def pushed(folder: Path) -> MirroredFiles:
    files = MirroredFiles(URL, folder)
    files.meet()
    files.push()
    return files


def pulled(folder: Path) -> dict[str, bytes]:
    folder.mkdir()
    MirroredFiles(URL, folder).meet()
    return content(folder)


def test_an_empty_directory_gets_all_that_was_pushed(memory, local: Path, tmp_path: Path) -> None:
    (local / "wandb").mkdir()
    (local / "wandb" / "latest").symlink_to(local)
    (local / "wandb" / "file").write_text("below a folder")
    files = pushed(local)
    save(local, 2)
    files.push()
    far = {name.removeprefix("/far/run/") for name in memory.find("/far/run")}
    assert far == {
        *("checkpoints/index.json", "checkpoints/step-00000002.pt"),
        *("config.gin", "metrics.jsonl", "mirror.json", "wandb/file"),
    }
    (local / "wandb" / "latest").unlink()
    assert pulled(tmp_path / "new") == content(local)
    assert (tmp_path / "new/checkpoints/best.pt").samefile(tmp_path / "new/checkpoints/step-00000002.pt")


def test_what_did_not_change_is_not_pushed_again(memory, local: Path, monkeypatch) -> None:
    pushed(local)
    monkeypatch.setattr(RemoteFolder, "put", lambda *_, **__: pytest.fail("it was put again"))
    MirroredFiles(URL, local).push()


@pytest.mark.parametrize("name", ["checkpoints/step-00000001.pt", "metrics.jsonl", "checkpoints/index.json"])
def test_a_wrong_byte_or_a_missing_file_is_refused_by_name(memory, local: Path, tmp_path: Path, name: str) -> None:
    pushed(local)
    right = memory.cat_file(f"/far/run/{name}")
    memory.pipe_file(f"/far/run/{name}", right[:-3] + bytes([right[-3] ^ 1]) + right[-2:])
    with pytest.raises(EmprotError, match=rf"{URL}/{name} is not the file that mirror\.json speaks of"):
        pulled(tmp_path / "new")
    memory.rm(f"/far/run/{name}")
    with pytest.raises(EmprotError, match=name):  # the directory is half copied, and is pulled anew
        MirroredFiles(URL, tmp_path / "new").meet()
    memory.pipe_file(f"/far/run/{name}", right)
    MirroredFiles(URL, tmp_path / "new").meet()
    assert content(tmp_path / "new") == content(local)


def test_a_push_cut_at_any_moment_leaves_a_copy_to_go_on_from(memory, local: Path, tmp_path: Path, monkeypatch) -> None:
    files, put, calls = pushed(local), RemoteFolder.put, 0
    old = content(local)
    save(local, 2)

    def torn(self, name, data, is_new=False) -> None:
        """Fails at the last of `calls`; what is new may be torn."""
        nonlocal calls
        calls -= 1
        if calls == 0:
            if is_new:
                put(self, name, b"half", is_new=True)
            raise OSError("no network")
        put(self, name, data, is_new)

    monkeypatch.setattr(RemoteFolder, "put", torn)
    for number in range(1, 7):
        calls = number
        if number == 6:
            files.push()  # five puts: the record, the checkpoint, the log, the index, the record
            break
        with pytest.raises(OSError, match="no network"):
            files.push()
        calls = 0
        found = pulled(tmp_path / str(number))
        step = CheckpointStore(tmp_path / str(number) / "checkpoints").newest_valid()[1]["step"]
        assert step == (1 if number < 5 else 2)
        assert found["metrics.jsonl"] in (old["metrics.jsonl"], old["metrics.jsonl"] + b"line 2\n")
    assert pulled(tmp_path / "new") == content(local)


def test_what_does_not_belong_together_is_refused(memory, local: Path, tmp_path: Path) -> None:
    files = pushed(local)
    other = tmp_path / "other"
    shutil.copytree(local, other)
    (other / "mirror.json").unlink()
    with pytest.raises(EmprotError, match="has the copy of another run than that in"):
        MirroredFiles(URL, other).meet()
    shutil.copy(local / "mirror.json", other)
    save(local, 2)
    files.push()
    with pytest.raises(EmprotError, match=r"is ahead of .*: it has checkpoints/step-00000002\.pt; move the directory"):
        MirroredFiles(URL, other).meet()
    MirroredFiles(URL, other).push()
    save(local, 3)
    with pytest.raises(EmprotError, match=f"another process copies to {URL} too"):
        files.push()


def test_a_copy_that_names_files_elsewhere_is_refused(memory, local: Path, tmp_path: Path) -> None:
    (local / "x").write_text("")
    files = pushed(local)
    files._names = lambda: ["../outside"]
    (local / "../outside").write_text("")
    files.push()
    with pytest.raises(EmprotError, match=r"names the file \.\./outside, which is none of a run"):
        pulled(tmp_path / "new")


def test_a_push_that_fails_is_one_warning_and_is_tried_again(
    memory, make_batch, make_trainer, tmp_path: Path, monkeypatch, caplog
) -> None:
    mirror = hook("Mirror", url=URL)
    trainer = make_trainer(mirror, hook("Checkpoint", every_steps=1))
    trainer.attach(RunInfo(directory=tmp_path))
    trainer.hooks.emit("on_run_start", trainer)
    pipe = memory.pipe_file
    monkeypatch.setattr(type(memory), "pipe_file", lambda *_, **__: 1 / 0)
    trainer.fit([make_batch(i) for i in range(3)])
    assert caplog.messages == [
        f"the copy of the run is behind: {URL}/mirror.json cannot be written: ZeroDivisionError: division by zero; it "
        "is tried again after each checkpoint"
    ]
    monkeypatch.setattr(type(memory), "pipe_file", lambda self, *arguments, **named: pipe(*arguments, **named))
    trainer.hooks.emit("on_run_end", trainer)
    assert memory.exists("/far/run/checkpoints/step-00000003.pt")
    monkeypatch.setattr(type(memory), "cat_file", lambda *_, **__: 1 / 0)
    trainer.hooks.emit("on_run_start", trainer)  # the directory has all, so the run begins
    assert "cannot be read: ZeroDivisionError" in caplog.messages[-1]


def test_an_address_that_cannot_be_read_is_refused_where_there_is_no_run(
    memory, make_trainer, tmp_path: Path, monkeypatch
) -> None:
    trainer = make_trainer(hook("Mirror", url=URL))
    trainer.attach(RunInfo(directory=tmp_path))
    monkeypatch.setattr(type(memory), "cat_file", lambda *_, **__: 1 / 0)
    with pytest.raises(EmprotError, match=rf"{URL}/mirror\.json cannot be read"):
        trainer.hooks.emit("on_run_start", trainer)
    monkeypatch.setitem(sys.modules, "fsspec", None)
    with pytest.raises(ModuleNotFoundError, match=r"pip install 'emprot\[remote\]'"):
        trainer.hooks.emit("on_run_start", trainer)


@pytest.mark.parametrize(
    "sabotage",
    [
        "emprot_plugins.hooks.remote_folder:RemoteFolder.put 33 before",
        pytest.param("emprot_core.training.updates:Updates.step 12 before", marks=pytest.mark.slow),
        pytest.param("emprot_core.jobs.run_directory:RunDirectory.write_result 1 after", marks=pytest.mark.slow),
    ],
)
def test_a_killed_run_whose_directory_is_lost_ends_with_the_same_bits(
    runs, whole: Path, tmp_path: Path, sabotage: str
) -> None:
    assert runs(tmp_path / "here", MIRRORED, SABOTAGE=sabotage) == -signal.SIGKILL, output(tmp_path / "here")
    shutil.rmtree(tmp_path / "here" / "run")
    assert runs(tmp_path / "here", MIRRORED) == 0, output(tmp_path / "here")
    assert "going on from" in output(tmp_path / "here")
    for run in (tmp_path / "here" / "run", tmp_path / "far" / "run"):
        assert all(": ok" in line for line in verify_run(run) if "best" not in line and "final" not in line)
    assert_same_outcome(tmp_path / "here" / "run", whole, ignoring=["config", "config_digest", "hooks"])

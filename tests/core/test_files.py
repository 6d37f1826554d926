"""The file layer: whole or absent, hashed, synced in the right order, and never led elsewhere by a link."""

import errno
import fcntl
import hashlib
import logging
import os
import re
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from emprot_core import disk, files


@pytest.fixture
def calls(monkeypatch) -> list[str]:
    """What is asked of the disk, in order: "fsync <name>" and "replace <to>"."""
    told: list[str] = []
    sync, replace = os.fsync, os.replace

    def fsync(descriptor: int) -> None:
        told.append(f"fsync {Path(os.readlink(f'/proc/self/fd/{descriptor}')).name}")
        sync(descriptor)

    def replaced(old: Path, new: Path) -> None:
        told.append(f"replace {Path(new).name}")
        replace(old, new)

    monkeypatch.setattr(os, "fsync", fsync)
    monkeypatch.setattr(os, "replace", replaced)
    return told


@pytest.fixture
def no_warning_was_told() -> Iterator[None]:
    disk._WARNED.clear()
    yield
    disk._WARNED.clear()


def failing(monkeypatch, module, name: str, number: int) -> None:
    def fail(*arguments):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(module, name, fail)


def test_a_write_syncs_the_file_renames_it_and_syncs_the_directory(tmp_path: Path, calls) -> None:
    digest = files.write_atomically(tmp_path / "new" / "a.bin", b"content")
    assert digest == hashlib.sha256(b"content").hexdigest()
    assert (tmp_path / "new" / "a.bin").read_bytes() == b"content"
    assert calls == [f"fsync {tmp_path.name}", "fsync .a.bin.partial", "replace a.bin", "fsync new"]
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["a.bin"]


def test_every_new_directory_on_the_way_is_synced_into_its_parent(tmp_path: Path, calls) -> None:
    disk.make_directory(tmp_path / "a" / "b" / "c")
    assert (tmp_path / "a" / "b" / "c").is_dir()
    assert sorted(calls) == sorted([f"fsync {tmp_path.name}", "fsync a", "fsync b"])
    calls.clear()
    disk.make_directory(tmp_path / "a" / "b" / "c")
    assert calls == []


@pytest.mark.parametrize("name", ["fsync", "replace"])
def test_a_write_that_fails_names_the_file_and_leaves_what_was_there(tmp_path: Path, monkeypatch, name: str) -> None:
    path = tmp_path / "a.bin"
    path.write_bytes(b"earlier")
    with monkeypatch.context() as patch:
        failing(patch, os, name, errno.ENOSPC)
        with pytest.raises(OSError, match=r"No space left on device: '.*a\.bin'") as caught:
            files.write_atomically(path, b"later")
    assert caught.value.errno == errno.ENOSPC
    assert path.read_bytes() == b"earlier"
    assert [each.name for each in tmp_path.iterdir()] == ["a.bin"]


def test_a_disk_that_gives_back_other_bytes_is_noticed(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(files, "sha256", lambda path: "0" * 64)
    with pytest.raises(OSError, match=r"the disk gives back other bytes than were written: '.*a'") as caught:
        files.write_atomically(tmp_path / "a", b"x")
    assert caught.value.errno == errno.EIO
    assert not list(tmp_path.iterdir())


def test_what_a_killed_process_left_does_not_stop_a_write_and_a_link_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "outside").write_text("mine")
    (tmp_path / ".a.partial").symlink_to(tmp_path / "outside")
    files.write_atomically(tmp_path / "a", b"x")
    assert (tmp_path / "outside").read_text() == "mine"
    assert not (tmp_path / "a").is_symlink()
    assert stat.S_IMODE((tmp_path / "a").stat().st_mode) == 0o666 & ~current_umask()


def current_umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def test_a_hashed_json_holds_the_hash_of_the_rest(tmp_path: Path) -> None:
    files.write_hashed_json(tmp_path / "a.json", {"b": [1, 2], "c": "d"})
    assert files.read_hashed_json(tmp_path / "a.json", b=list, c=str) == {"b": [1, 2], "c": "d"}
    files.check_hashed(tmp_path / "a.json")
    assert (tmp_path / "a.json").read_text().startswith('{\n "b": [\n')
    assert (tmp_path / "a.json").read_text().endswith("\n}\n")


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("{", "it cannot be read"),
        ("[1]", "it cannot be read"),
        ("{}", "it cannot be read"),
        ('{\n "b": 1,\n "sha256": "x"\n}\n', "its content differs from its SHA-256"),
    ],
)
def test_another_json_is_damaged(tmp_path: Path, content: str, reason: str) -> None:
    path = tmp_path / "a.json"
    path.write_text(content)
    with pytest.raises(files.Damaged, match=rf"^{path} is damaged: {reason}"):
        files.read_hashed_json(path)


@pytest.mark.parametrize("types", [{"b": str}, {"missing": int}])
def test_a_whole_json_about_something_else_is_damaged(tmp_path: Path, types) -> None:
    files.write_hashed_json(tmp_path / "a.json", {"b": 1})
    with pytest.raises(files.Damaged, match=f"it has no {next(iter(types))}, or one of another type"):
        files.read_hashed_json(tmp_path / "a.json", **types)


def test_a_hashed_text_is_checked_to_the_last_byte(tmp_path: Path) -> None:
    path = tmp_path / "a.gin"
    files.write_hashed_text(path, "x = 1\n")
    files.check_hashed(path)
    assert path.read_text() == f"x = 1\n# sha256 {hashlib.sha256(b'x = 1' + bytes([10])).hexdigest()}\n"
    whole = path.read_bytes()
    for damaged in (whole[:-1], whole.replace(b"1", b"2", 1), whole.replace(b"# sha256 ", b"# sha255 "), b""):
        path.write_bytes(damaged)
        with pytest.raises(files.Damaged, match=rf"^{path} is damaged: its content differs from the SHA-256 in its"):
            files.check_hashed(path)


def test_a_fault_is_told_in_words(tmp_path: Path, monkeypatch) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"x")
    assert files.fault_of(path, files.sha256(path)) == ""
    assert files.fault_of(path, "0") == "is damaged: its SHA-256 differs from the one that was recorded"
    assert files.fault_of(tmp_path / "b", "0") == "is missing"
    failing(monkeypatch, files, "sha256", errno.EIO)
    assert files.fault_of(path, "0") == "cannot be read (Input/output error)"


def test_a_second_name_is_a_link_or_a_copy(tmp_path: Path, monkeypatch) -> None:
    path, name = tmp_path / "a", tmp_path / "b"
    path.write_bytes(b"x")
    assert not files.is_name_of(path, name)
    assert not files.is_name_of(name, path)
    (tmp_path / ".b.partial").write_bytes(b"left by a kill")
    files.give_name(path, name)
    assert files.is_name_of(path, name)
    name.unlink()
    failing(monkeypatch, os, "link", errno.EPERM)
    files.give_name(path, name)
    assert name.read_bytes() == b"x"
    assert not files.is_name_of(path, name)
    assert sorted(each.name for each in tmp_path.iterdir()) == ["a", "b"]


def test_files_are_set_aside_into_the_next_free_folder_and_told(tmp_path: Path, caplog) -> None:
    (tmp_path / "aside-1").mkdir()
    for name in ("events.out.tfevents.1", "log"):
        (tmp_path / name).write_text(name)
    with caplog.at_level(logging.WARNING, "emprot"):
        files.set_aside(tmp_path, [])
        assert not caplog.messages
        files.set_aside(tmp_path, [tmp_path / "events.out.tfevents.1", tmp_path / "log"])
    assert (tmp_path / "aside-2" / "events.out.events.1").read_text() == "events.out.tfevents.1"
    assert (tmp_path / "aside-2" / "log").read_text() == "log"
    assert caplog.messages == [f"moved aside into {tmp_path}/aside-2: events.out.tfevents.1, log"]


def test_what_is_set_aside_has_a_durable_name(tmp_path: Path, calls) -> None:
    (tmp_path / "log").write_text("x")
    files.set_aside(tmp_path, [tmp_path / "log"])
    assert calls[-2:] == ["fsync aside-1", f"fsync {tmp_path.name}"]


@pytest.mark.parametrize("number", [errno.EINVAL, errno.ENOSYS, errno.ENOTSUP, errno.ENOLCK])
def test_a_file_system_without_directory_syncs_is_warned_of_once(
    tmp_path: Path, monkeypatch, caplog, number: int, no_warning_was_told
) -> None:
    failing(monkeypatch, os, "fsync", number)
    (tmp_path / "in").mkdir()
    for _ in range(2):
        disk.sync_directory(tmp_path)
        disk.sync_directory(tmp_path / "in")
    text = f"the file system of {tmp_path} cannot sync a directory: the last file may be lost with the power"
    assert caplog.messages == [text]


def test_a_sync_that_fails_otherwise_is_an_error_and_leaves_no_file_open(tmp_path: Path, monkeypatch) -> None:
    before = set(os.listdir("/proc/self/fd"))
    failing(monkeypatch, os, "fsync", errno.EIO)
    with pytest.raises(OSError, match="Input/output error"):
        disk.sync_directory(tmp_path)
    assert set(os.listdir("/proc/self/fd")) == before


def test_a_lock_is_had_by_one_open_file_at_a_time(tmp_path: Path) -> None:
    with (tmp_path / "lock").open("w") as held, (tmp_path / "lock").open() as other:
        assert disk.try_lock(held.fileno(), tmp_path)
        assert not disk.try_lock(other.fileno(), tmp_path)
        held.close()
        assert disk.try_lock(other.fileno(), tmp_path)


def test_a_file_system_without_locks_is_warned_of(tmp_path: Path, monkeypatch, caplog, no_warning_was_told) -> None:
    failing(monkeypatch, fcntl, "flock", errno.ENOLCK)
    assert disk.try_lock(0, tmp_path)
    assert disk.try_lock(0, tmp_path)
    assert caplog.messages == [f"the file system of {tmp_path} has no locks: start no second process there"]
    failing(monkeypatch, fcntl, "flock", errno.EIO)
    with pytest.raises(OSError, match="Input/output error"):
        disk.try_lock(0, tmp_path)


@pytest.mark.parametrize("what", ["link", "pipe", "device"])
def test_what_is_no_file_of_ours_is_not_opened(tmp_path: Path, what: str) -> None:
    path = tmp_path / "log"
    (tmp_path / "outside").write_text("mine")
    if what == "link":
        path.symlink_to(tmp_path / "outside")
    elif what == "pipe":
        os.mkfifo(path)
    before = set(os.listdir("/proc/self/fd"))
    target = Path("/dev/null") if what == "device" else path
    with pytest.raises(OSError, match=re.escape(str(target))) as caught, open(target, "a", opener=disk.open_own):
        pass
    assert caught.value.errno in (errno.ELOOP, errno.ENXIO, errno.EINVAL)
    assert str(caught.value.filename) == str(target)
    assert set(os.listdir("/proc/self/fd")) == before
    assert (tmp_path / "outside").read_text() == "mine"


def test_a_file_of_ours_is_opened_and_not_inherited(tmp_path: Path) -> None:
    with open(tmp_path / "log", "a", opener=disk.open_own) as file:
        assert not os.get_inheritable(file.fileno())
        file.write("x")
    with disk.open_new(tmp_path / "log") as new:
        assert not os.get_inheritable(new.fileno())
        new.write(b"y")
    assert (tmp_path / "log").read_bytes() == b"y"


def test_a_sync_of_a_file_reaches_that_file(tmp_path: Path, calls) -> None:
    (tmp_path / "a").write_text("x")
    disk.sync_file(tmp_path / "a")
    assert calls == ["fsync a"]

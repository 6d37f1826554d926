"""Stores whose files are changed in place, and what a check costs when nothing was changed."""

import os
from pathlib import Path

import numpy as np
import pytest
from small_stores import write_lettered_store

from emprot_core.data import checked_files
from emprot_core.data.checked_files import holds
from emprot_core.data.store import StoreError, TrajectoryStore
from emprot_core.files import sha256


@pytest.fixture(autouse=True)
def own_memory(tmp_path: Path, monkeypatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "emprot" / "checked-files"


def flip(path: Path, keep_date: bool = True) -> None:
    before = path.stat()
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    if keep_date:
        os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def test_a_file_is_hashed_once_and_again_when_it_changed(tmp_path, monkeypatch) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"content")
    digest, hashed = sha256(path), []
    monkeypatch.setattr(checked_files, "sha256", lambda path: hashed.append(path) or sha256(path))
    assert all(holds(path, digest) for _ in range(3))
    assert len(hashed) == 1
    assert not holds(path, "0" * 64)
    flip(path)
    assert not holds(path, digest)


def test_ids_that_are_changed_in_place_are_noticed_though_size_and_date_are_the_same(tmp_path) -> None:
    directory = write_lettered_store(tmp_path / "s")
    TrajectoryStore(directory).check_hashes()
    flip(directory / "ids-00000.npy")
    with pytest.raises(StoreError, match=r"ids-00000\.npy was changed since it was written"):
        TrajectoryStore(directory).check_hashes()


def test_a_memory_that_cannot_be_written_or_is_no_text_does_no_harm(tmp_path, own_memory) -> None:
    store = TrajectoryStore(write_lettered_store(tmp_path / "s"))
    own_memory.parent.mkdir(parents=True)
    own_memory.write_bytes(bytes(range(256)))
    store.check_hashes()
    own_memory.unlink()
    own_memory.mkdir()
    store.check_hashes()
    own_memory.rmdir()
    own_memory.parent.rmdir()
    own_memory.parent.write_text("a file in the place of the folder")
    store.check_hashes()


def test_the_memory_does_not_grow_without_end(tmp_path, own_memory, monkeypatch) -> None:
    monkeypatch.setattr(checked_files, "_MOST_BYTES", 100)
    for number in range(20):
        path = tmp_path / str(number)
        path.write_bytes(np.random.default_rng(number).bytes(10))
        assert holds(path, sha256(path))
    assert own_memory.stat().st_size < 200

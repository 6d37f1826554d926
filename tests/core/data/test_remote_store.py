"""Stores behind addresses: the same data, through a cache that checks every byte."""

import sys
from pathlib import Path

import pytest

from emprot_core.data.remote_store import fetch_store
from emprot_core.data.store import SAMPLE_ROOT, StoreError, TrajectoryStore

SAMPLE = SAMPLE_ROOT / "protein_blocks"


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch) -> Path:
    monkeypatch.setenv("EMPROT_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "stores"


@pytest.fixture
def memory():
    """A file system in memory that holds the sample at memory://store."""
    import fsspec

    system = fsspec.filesystem("memory")
    for path in SAMPLE.iterdir():
        system.pipe_file(f"/store/{path.name}", path.read_bytes())
    yield system
    system.rm("/store", recursive=True)


def test_a_store_behind_an_address_is_that_store(memory, cache: Path) -> None:
    store, known = TrajectoryStore("memory://store"), TrajectoryStore(SAMPLE)
    assert store.digest == known.digest
    assert store.directory.parent == cache
    assert (store.ids(0) == known.ids(0)).all()
    TrajectoryStore(store.directory, verify=True)


def test_it_is_copied_once(memory, monkeypatch) -> None:
    first = fetch_store("memory://store")
    monkeypatch.setattr(type(memory), "get_file", lambda *_, **__: pytest.fail("it was copied again"))
    assert fetch_store("memory://store") == first


def test_a_wrong_byte_is_refused_by_name_and_leaves_nothing(memory, cache: Path) -> None:
    data = bytearray(memory.cat_file("/store/index.npy"))
    data[-1] ^= 1
    memory.pipe_file("/store/index.npy", bytes(data))
    with pytest.raises(StoreError, match=r"memory://store/index\.npy is not the file that store\.json speaks of"):
        fetch_store("memory://store")
    assert list(cache.iterdir()) == []


def test_a_file_that_is_missing_is_named(memory) -> None:
    memory.rm("/store/index.npy")
    with pytest.raises(StoreError, match=r"memory://store/index\.npy cannot be read: FileNotFoundError"):
        fetch_store("memory://store")


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("memory://nothing", "memory://nothing is not a trajectory store: it has no store.json"),
        ("nonsense://x", "nonsense://x is no address that fsspec knows"),
    ],
)
def test_an_address_without_a_store_is_told(url: str, message: str) -> None:
    with pytest.raises(StoreError) as error:
        fetch_store(url)
    assert message in str(error.value)


def test_a_store_that_names_a_file_outside_is_refused(memory) -> None:
    text = memory.cat_file("/store/store.json").replace(b'"index.npy"', b'"../index.npy"', 1)
    memory.pipe_file("/store/store.json", text)
    with pytest.raises(StoreError):
        fetch_store("memory://store")


def test_without_fsspec_the_message_names_the_extra(monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "fsspec", None)
    with pytest.raises(ModuleNotFoundError, match=r"pip install 'emprot\[remote\]'"):
        fetch_store("memory://store")

"""Stores behind an address such as s3://bucket/store: copied once into a cache, every file against its hash."""

import hashlib
import logging
import os
import shutil
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from emprot_core.data.store_format import StoreError, read_meta, sha256

CACHE = "EMPROT_CACHE"
"""The environment variable that names the directory of the cache; ~/.cache/emprot by default."""
_log = logging.getLogger("emprot")


def is_remote(store: str) -> bool:
    """Whether a store is given by an address instead of a path."""
    return "://" in store


def fetch_store(url: str) -> Path:
    """The directory in the cache with the files of a store, which are copied if they are not there.

    The directory is named by the hash of store.json, which holds the hashes of all other files. It appears whole or not
    at all, so any number of processes may fetch at once.

    Raises:
        ModuleNotFoundError: fsspec, or what it needs for this kind of address, is not installed.
        StoreError: there is no such store, or a file is not the one that store.json speaks of.
    """
    system, root = open_address(url)
    text = _read(system, f"{root}/store.json", url)
    meta = read_meta(text, Path(f"{url}/store.json"))
    folder = _cache() / "stores" / hashlib.sha256(text).hexdigest()
    if (folder / "store.json").is_file():
        return folder
    copy = folder.with_name(f".{folder.name}.{uuid.uuid4().hex}")
    copy.mkdir(parents=True)
    try:
        _copy(system, root, url, meta["files"], copy)
        (copy / "store.json").write_bytes(text)
        if not folder.exists():
            copy.rename(folder)
    except OSError:
        if not (folder / "store.json").is_file():  # else another process was first
            raise
    finally:
        shutil.rmtree(copy, ignore_errors=True)
    _log.info("copied %s to %s", url, folder)
    return folder


def open_address(url: str) -> tuple[Any, str]:
    """The file system of fsspec behind an address, and the path in it.

    Raises:
        ModuleNotFoundError: fsspec, or what it needs for this kind of address, is not installed.
        StoreError: fsspec knows no such address.
    """
    try:
        import fsspec
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(f"{url} needs fsspec; pip install 'emprot[remote]'") from error
    try:
        system, root = fsspec.core.url_to_fs(url)
    except ImportError as error:  # of s3fs, gcsfs and the like; the message names the package
        raise ModuleNotFoundError(f"{url}: {error}") from error
    except ValueError as error:
        raise StoreError(f"{url} is no address that fsspec knows: {error}") from error
    return system, root.rstrip("/")


def _copy(system: Any, root: str, url: str, files: Mapping[str, tuple[int, str]], into: Path) -> None:
    for name, (size, digest) in files.items():
        path = into / name
        if not path.resolve().is_relative_to(into.resolve()):
            raise StoreError(f"{url}/store.json names the file {name}, which lies outside of the store")
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            system.get_file(f"{root}/{name}", str(path))
        except Exception as error:  # each file system has errors of its own
            raise StoreError(f"{url}/{name} cannot be read: {_told(error)}") from error
        if path.stat().st_size != size or sha256(path) != digest:
            raise StoreError(f"{url}/{name} is not the file that store.json speaks of; copy or prepare the store again")


def _read(system: Any, path: str, url: str) -> bytes:
    try:
        return system.cat_file(path)
    except FileNotFoundError as error:
        raise StoreError(f"{url} is not a trajectory store: it has no store.json") from error
    except Exception as error:  # each file system has errors of its own
        raise StoreError(f"{url}/store.json cannot be read: {_told(error)}") from error


def _told(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"


def _cache() -> Path:
    return Path(os.environ.get(CACHE) or Path.home() / ".cache" / "emprot")

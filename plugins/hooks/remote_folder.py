"""A folder behind an address that fsspec knows: its files are read, put and removed."""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from emprot_core.data.remote_store import open_address
from emprot_core.errors import EmprotError

_BLOCK = 2**20
_OBJECT_STORES = ("s3", "s3a", "gs", "gcs", "az", "abfs", "abfss", "adl", "oss", "memory")
"""Kinds of address where a file appears whole or not at all, and which need no folders."""


class Unreachable(EmprotError):
    """A file behind an address that cannot be read or written now. The message names it."""


class RemoteFolder:
    """Every method raises Unreachable if the address does not answer as it should."""

    def __init__(self, url: str):
        """
        Raises:
            ModuleNotFoundError, StoreError: fsspec cannot open such an address.
        """
        self.url = url.rstrip("/")
        self._system, self._root = open_address(self.url)
        self._is_object_store = self.url.partition("://")[0] in _OBJECT_STORES

    def read(self, name: str) -> bytes | None:
        """The content of a file, or None if there is none."""
        with self._naming(name, "read"), suppress(FileNotFoundError):
            data: bytes = self._system.cat_file(f"{self._root}/{name}")
            return data
        return None

    def copy_into(self, file: BinaryIO, name: str) -> str:
        """Copy a file into an open one. Gives its SHA-256, or "" if there is none."""
        digest = hashlib.sha256()
        with self._naming(name, "read"), suppress(FileNotFoundError):
            with self._system.open(f"{self._root}/{name}", "rb") as source:
                while block := source.read(_BLOCK):
                    digest.update(block)
                    file.write(block)
            return digest.hexdigest()
        return ""

    def put(self, name: str, content: Path | bytes, is_new: bool = False) -> None:
        """Put a file. One that is not new replaces another at once."""
        there = f"{self._root}/{name}"
        beside = there if is_new or self._is_object_store else f"{there}.partial"
        with self._naming(name, "written"):
            if not self._is_object_store:
                self._system.makedirs(there.rpartition("/")[0], exist_ok=True)
            if isinstance(content, Path):
                self._system.put_file(str(content), beside)
            else:
                self._system.pipe_file(beside, content)
            if beside != there:
                self._system.mv(beside, there)

    def remove(self, name: str) -> None:
        """Remove a file, if it is there."""
        with self._naming(name, "removed"), suppress(FileNotFoundError):
            self._system.rm_file(f"{self._root}/{name}")

    @contextmanager
    def _naming(self, name: str, what: str) -> Iterator[None]:
        """Give an error the name of the file: each kind of file system has errors of its own."""
        try:
            yield
        except Exception as error:
            raise Unreachable(f"{self.url}/{name} cannot be {what}: {type(error).__name__}: {error}") from error

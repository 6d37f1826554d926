"""Reads single windows of a large shard from the disk, and no more than was asked for.

A memory map reads the pages around each one that it touches, and counts what was touched as the memory of the process.
Windows in random order would so read tens of times what they need, and in the end hold the whole store.
"""

import os
import weakref
from pathlib import Path

import numpy as np

from emprot_core.data.store_format import StoreError


class FrameReader:
    """An open shard. Safe to use from several threads."""

    def __init__(self, path: Path, numbers: np.ndarray):
        """
        Args:
            path: an .npy file.
            numbers: the array in it, whose type and size it is known by.
        """
        self._path, self._dtype = path, numbers.dtype
        self._file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        weakref.finalize(self, os.close, self._file)
        self._start = os.fstat(self._file).st_size - numbers.nbytes
        if hasattr(os, "posix_fadvise"):
            os.posix_fadvise(self._file, 0, 0, os.POSIX_FADV_RANDOM)

    def read(self, first: int, count: int) -> np.ndarray:
        """(count,) the numbers from `first` on, read-only.

        Raises:
            StoreError: the file ends before them.
        """
        size = count * self._dtype.itemsize
        content = os.pread(self._file, size, self._start + first * self._dtype.itemsize)
        if len(content) != size:
            raise StoreError(f"{self._path} was cut off while it was read; copy or prepare the store again")
        return np.frombuffer(content, self._dtype)

"""Memory that a step frees is there for the next one."""

import ctypes
import multiprocessing
import platform
import resource

import pytest
import torch

from emprot_core.training import memory

NUM_BYTES = 1 << 24
NUM_PAGES = NUM_BYTES // resource.getpagesize()


def new_pages() -> int:
    """The pages that the system clears for five blocks, each taken after the one before it was freed."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(5):
        torch.ones(NUM_BYTES // 4)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before


def new_pages_before_and_after() -> tuple[int, int]:
    for parameter in (memory._M_MMAP_THRESHOLD, memory._M_TRIM_THRESHOLD):
        ctypes.CDLL(None).mallopt(parameter, 1 << 17)  # the default: an earlier test may have trained something
    before = new_pages()
    memory.keep_freed_memory()
    for _ in range(3):  # glibc looks for a little more than it frees, until free blocks have grown together
        new_pages()
    return before, new_pages()


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="other C libraries have no mallopt")
def test_memory_that_was_freed_is_taken_again_without_new_pages() -> None:
    with multiprocessing.get_context("fork").Pool(1) as pool:
        before, after = pool.apply(new_pages_before_and_after)
    assert before > 4 * NUM_PAGES
    assert after < NUM_PAGES


def test_a_c_library_without_mallopt_is_left_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ctypes, "CDLL", lambda name: object())
    memory.keep_freed_memory()

"""Memory that a step frees is there for the next one, and none is read before it is written."""

import ctypes
import multiprocessing
import platform
import resource

import pytest
import torch

from emprot_core import randomness, registry
from emprot_core.training import memory
from emprot_core.training.forward_loss import ForwardLoss

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


def test_no_gradient_depends_on_memory_that_nobody_wrote(make_batch) -> None:
    was, found = torch.get_deterministic_debug_mode(), []
    for is_filled in (True, False):
        randomness.seed_everything(0)
        randomness.use_deterministic_algorithms(torch.device("cpu"), deterministic=False)
        assert not torch.utils.deterministic.fill_uninitialized_memory
        torch.utils.deterministic.fill_uninitialized_memory = is_filled  # with NaN, which would spread
        auto = registry.get("attention", "auto")
        model = registry.get("model", "ProteinTransformerClassificationOnly")(16, 2, 2, 3, 11, attention=auto)
        forward_loss = ForwardLoss(model, registry.get("loss", "MaskedCrossEntropy")(), [])
        forward_loss(make_batch(missing=True))[0].backward()
        found.append(torch.cat([parameter.grad.flatten() for parameter in model.parameters()]))
    torch.set_deterministic_debug_mode(was)
    assert bool(found[0].isfinite().all())
    assert torch.equal(*found)

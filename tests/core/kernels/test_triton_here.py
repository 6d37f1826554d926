"""A machine on which Triton builds nothing is found once, and told."""

import logging
import sys
from types import SimpleNamespace

import pytest

from emprot_core.kernels.triton_here import triton_runs


@pytest.fixture(autouse=True)
def forgotten():
    triton_runs.cache_clear()
    yield
    triton_runs.cache_clear()


def test_a_machine_without_a_compiler_is_told_once(monkeypatch, caplog) -> None:
    def jit(function):
        raise RuntimeError("Failed to find C compiler. Please specify via CC environment variable.")

    monkeypatch.setitem(sys.modules, "triton", SimpleNamespace(jit=jit))
    with caplog.at_level(logging.WARNING, logger="emprot"):
        assert not triton_runs("cpu")
        assert not triton_runs("cpu")
    (message,) = [record.getMessage() for record in caplog.records]
    assert "gcc" in message
    assert "Failed to find C compiler" in message


def test_a_machine_that_builds_a_kernel_is_known(monkeypatch, caplog) -> None:
    launched = []
    monkeypatch.setitem(sys.modules, "triton", SimpleNamespace(jit=lambda function: {(1,): launched.append}))
    assert triton_runs("cpu")
    assert len(launched) == 1
    assert not caplog.records

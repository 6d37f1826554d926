"""attention.short around its kernel, for which formulas stand in; tests/runs/test_cuda.py has the kernel itself."""

import importlib
import sys
from types import SimpleNamespace

import pytest
import torch
from emprot_plugins.attention.blockwise import token_major
from torch import Tensor

from emprot_core.kernels import einsum, sdpa

short = importlib.import_module("emprot_plugins.attention.short")  # the package has the function by this name


def forward(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None) -> Tensor:
    return token_major(q, q.shape[2]).copy_(einsum(q, k, v, mask))


def backward(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None, grad: Tensor) -> tuple[Tensor, ...]:
    scores = (q @ k.mT) * q.shape[-1] ** -0.5
    weights = (scores if mask is None else scores.masked_fill(~mask, -1e30)).softmax(-1)
    of_weights = grad @ v.mT
    of_scores = weights * (of_weights - (of_weights * weights).sum(-1, keepdim=True)) * q.shape[-1] ** -0.5
    return tuple(
        token_major(x, x.shape[2]).copy_(g)
        for x, g in ((q, of_scores @ k), (k, of_scores.mT @ q), (v, weights.mT @ grad))
    )


@pytest.fixture(autouse=True)
def formulas(monkeypatch) -> None:
    stand_in = SimpleNamespace(forward=forward, backward=backward)
    monkeypatch.setitem(sys.modules, "emprot_plugins.attention._short_kernel", stand_in)


@pytest.mark.parametrize("is_masked", [True, False])
@pytest.mark.parametrize("form", ["_attend", "_Short"])
def test_both_forms_give_the_results_and_gradients_of_the_reference(form: str, is_masked: bool) -> None:
    torch.manual_seed(0)
    leaves = [torch.randn(3, 7, 2, 8, requires_grad=True) for _ in range(3)]
    mask = torch.rand(3, 1, 1, 7) < 0.8 if is_masked else None
    own = getattr(short, form)
    found = []
    for attention in (getattr(own, "apply", own), einsum):
        attended = attention(*(x.transpose(1, 2) for x in leaves), mask)
        found.append([attended, *torch.autograd.grad(attended.square().sum(), leaves)])
    for ours, exact in zip(*found, strict=True):
        torch.testing.assert_close(ours, exact)


def test_the_compiler_knows_the_shapes_and_strides_of_the_operation() -> None:
    q, k, v = (torch.randn(3, 7, 2, 8).transpose(1, 2) for _ in range(3))
    torch.library.opcheck(short._attend, (q, k, v, None), test_utils=("test_schema", "test_faketensor"))
    torch.library.opcheck(short._gradients, (q, k, v, None, q), test_utils=("test_schema", "test_faketensor"))


def test_what_it_does_not_know_goes_to_sdpa() -> None:
    q = torch.randn(3, 2, 7, 8)
    assert torch.equal(short.short(q, q, q), sdpa(q, q, q))


@pytest.mark.parametrize(
    ("frames", "size", "dtype", "is_known"),
    [
        (10, 64, torch.float32, True),
        (64, 128, torch.bfloat16, True),
        (64, 128, torch.float32, False),
        (65, 16, torch.bfloat16, False),
        (10, 64, torch.float64, False),
    ],
)
def test_what_outgrows_a_program_is_left_to_another_kernel(
    frames: int, size: int, dtype: torch.dtype, is_known: bool
) -> None:
    x = torch.empty(2, 1, frames, size, dtype=dtype)
    assert short._is_known(x, x, x) is is_known

"""The block-wise attention kernels: every kind of mask and bias, many blocks, the same bits each time."""

import importlib
import statistics
import time

import pytest
import torch
from emprot_plugins.attention import dispatch
from emprot_plugins.attention.dispatch import auto
from emprot_plugins.attention.grouped import grouped
from emprot_plugins.attention.packed import packed
from torch import Tensor

from emprot_core.kernels import einsum, onednn
from emprot_core.kernels.onednn import product

BLOCKWISE = [grouped, packed]
B, H, Q, K, D = 3, 2, 5, 20, 8
MASKS = {
    "none": None,
    "keys": (B, 1, 1, K),
    "keys of all sequences": (1, 1, 1, K),
    "queries and keys": (B, 1, Q, K),
    "heads": (B, H, Q, K),
    "queries": (B, 1, Q, 1),
    "two dimensions": (Q, K),
}
BIASES = {
    "none": None,
    "queries and keys": (1, H, Q, K),
    "sequences": (B, 1, Q, K),
    "heads": (1, H, 1, 1),
    "keys": (K,),
}
BOUNDS = {torch.float64: 1e-13, torch.float32: 1e-5, torch.bfloat16: 6e-2}


@pytest.fixture(params=["one block", "many blocks"])
def blocks(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if request.param == "many blocks":
        monkeypatch.setattr(importlib.import_module("emprot_plugins.attention.grouped"), "_SCORES_PER_GROUP", 1)
        monkeypatch.setattr(importlib.import_module("emprot_plugins.attention.packed"), "_SCORES_PER_BLOCK", 2 * K)


def random_mask(shape: tuple[int, ...] | None) -> Tensor | None:
    """Half of it True; for the first query, and for the second sequence if there is one, nothing."""
    if shape is None:
        return None
    mask = torch.rand(shape, generator=torch.Generator().manual_seed(1)) > 0.5
    if len(shape) == 4:
        mask[1 % shape[0]] = False
    mask[..., 0, :] &= shape[-2] == 1
    return mask


def values_and_gradients(kernel, dtype: torch.dtype, mask: Tensor | None, bias_shape) -> list[Tensor]:
    generator = torch.Generator().manual_seed(0)

    def normal(*shape: int) -> Tensor:
        return torch.randn(shape, generator=generator, dtype=torch.float64).bfloat16().to(dtype)

    inputs = [normal(B, n, H, D).transpose(1, 2).requires_grad_() for n in (Q, K, K)]
    bias = None if bias_shape is None else normal(*bias_shape).requires_grad_()
    result = kernel(*inputs, mask=mask, bias=bias)
    learning = inputs if bias is None else [*inputs, bias]
    return [result.detach(), *torch.autograd.grad(result, learning, normal(B, H, Q, D))]


@pytest.mark.parametrize("kernel", BLOCKWISE)
@pytest.mark.parametrize("mask", MASKS)
@pytest.mark.parametrize("bias", BIASES)
@pytest.mark.usefixtures("blocks")
def test_values_and_gradients_agree_with_float64(kernel, mask: str, bias: str) -> None:
    allowed = random_mask(MASKS[mask])
    wanted = values_and_gradients(einsum, torch.float64, allowed, BIASES[bias])
    for dtype, bound in BOUNDS.items():
        got = values_and_gradients(kernel, dtype, allowed, BIASES[bias])
        for x, y in zip(got, wanted, strict=True):
            assert x.dtype is dtype
            # Relative to the largest: a sum over many terms, such as a bias of heads, keeps their rounding.
            torch.testing.assert_close(x.double(), y, atol=bound * max(1.0, float(y.abs().max())), rtol=0.0)


@pytest.mark.parametrize("kernel", BLOCKWISE)
@pytest.mark.usefixtures("blocks")
def test_gradcheck_with_mask_and_bias(kernel) -> None:
    generator = torch.Generator().manual_seed(0)
    shapes = ((2, 2, 3, 4), (2, 2, 5, 4), (2, 2, 5, 4), (1, 2, 3, 5))
    inputs = [torch.randn(shape, generator=generator, dtype=torch.float64).requires_grad_() for shape in shapes]
    mask = torch.tensor([[True, False, True, True, False], [False] * 5])[:, None, None]
    for last in (None, inputs[3]):
        some = inputs[:3] if last is None else inputs
        assert torch.autograd.gradcheck(lambda q, k, v, bias=None: kernel(q, k, v, mask=mask, bias=bias), some)


@pytest.mark.parametrize("kernel", BLOCKWISE)
def test_the_same_inputs_give_the_same_bits(kernel) -> None:
    mask = random_mask((B, 1, 1, K))
    first, second = (values_and_gradients(kernel, torch.float32, mask, (1, H, Q, K)) for _ in range(2))
    for x, y in zip(first, second, strict=True):
        assert torch.equal(x, y)


def test_packed_never_reads_keys_behind_the_mask() -> None:
    q, k, v = (torch.randn(1, 2, n, 8, requires_grad=True) for n in (3, 5, 5))
    mask = torch.tensor([True, True, False, True, False])[None, None, None]
    with torch.no_grad():
        k[:, :, ~mask[0, 0, 0]] = v[:, :, ~mask[0, 0, 0]] = torch.nan
    result = packed(q, k, v, mask=mask)
    result.sum().backward()
    assert all(bool(x.isfinite().all()) for x in (result, q.grad, k.grad, v.grad))


@pytest.mark.parametrize("kernel", BLOCKWISE)
def test_autocast_changes_neither_dtype_nor_numbers(kernel) -> None:
    plain = values_and_gradients(kernel, torch.float32, None, None)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        autocast = values_and_gradients(kernel, torch.float32, None, None)
    for x, y in zip(autocast, plain, strict=True):
        assert torch.equal(x, y)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float64])
def test_product_multiplies_matrices_of_any_layout(dtype: torch.dtype) -> None:
    a, b = torch.randn(6, 3, 5).to(dtype), torch.randn(5, 3, 7).to(dtype)
    for left, right in ((a[:, 1], b[:, 1]), (a[:, 1].contiguous(), b[:, 1].T.contiguous().T), (a[:, 1], b[:, 0])):
        torch.testing.assert_close(product(left, right), left @ right)


def test_without_onednn_products_are_torchs_own(monkeypatch) -> None:
    monkeypatch.setattr(onednn, "_HAS_ONEDNN", False)
    a, b = torch.randn(3, 5), torch.randn(5, 7)
    assert torch.equal(product(a, b), a @ b)


def test_auto_takes_the_nearest_measured_shape_and_sdpa_where_nothing_was_measured(monkeypatch) -> None:
    rows = [(10, 10, 64, "grouped", "einsum"), (10, 10, 8, "sdpa", "sdpa"), (3000, 3000, 64, "packed", "sdpa")]
    monkeypatch.setattr(dispatch, "FASTEST", {("cpu", "float32", False): rows})
    assert dispatch.choice("cpu", torch.float32, (12, 8, 64), by_query=False) == "grouped"
    assert dispatch.choice("cpu", torch.float32, (12, 8, 64), by_query=False, compiling=True) == "einsum"
    assert dispatch.choice("cpu", torch.float32, (12, 8, 16), by_query=False) == "sdpa"
    assert dispatch.choice("cpu", torch.float32, (500, 3000, 64), by_query=False) == "packed"
    assert dispatch.choice("cpu", torch.float32, (12, 8, 64), by_query=True) == "sdpa"
    assert dispatch.choice("cuda", torch.float32, (12, 8, 64), by_query=False) == "sdpa"


def test_every_kernel_of_the_table_exists() -> None:
    for rows in dispatch.FASTEST.values():
        for *_, fastest, traceable in rows:
            assert fastest in dispatch.KERNELS
            assert traceable in dispatch.TRACEABLE


@pytest.mark.parametrize("shape", [(300, 10, 10), (2, 300, 300)], ids=["temporal", "spatial"])
def test_auto_is_not_slower_than_einsum(shape: tuple[int, int, int]) -> None:
    """A ratio of processor times, far from what is measured (benchmarks/RESULTS.md): it fails for a wrong dispatch."""
    sequences, queries, keys = shape
    inputs = [torch.randn(sequences, n, 8, 32).transpose(1, 2).requires_grad_() for n in (queries, keys, keys)]
    mask = torch.rand(sequences, 1, 1, keys) < 0.85
    seconds: dict[str, list[float]] = {"einsum": [], "auto": []}
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        for _ in range(9):
            for kernel in (einsum, auto):
                start = time.process_time()
                torch.autograd.grad(kernel(*inputs, mask=mask).sum(), inputs)
                seconds[kernel.__name__].append(time.process_time() - start)
    finally:
        torch.set_num_threads(threads)
    ratio = statistics.median(seconds["einsum"][1:]) / statistics.median(seconds["auto"][1:])
    assert ratio > 0.8

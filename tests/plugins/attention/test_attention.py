"""Attention kernels: agreement, masks, gradients."""

import math

import pytest
import torch
from emprot_plugins.attention.dispatch import auto
from emprot_plugins.attention.grouped import grouped
from emprot_plugins.attention.packed import packed
from torch import Tensor

from emprot_core.kernels import einsum, sdpa

KERNELS = [einsum, sdpa, grouped, packed, auto]


def tensors(dtype: torch.dtype = torch.float64, seed: int = 0) -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    make = lambda length: torch.randn(3, 2, length, 8, generator=generator, dtype=dtype)  # noqa: E731
    return make(5), make(7), make(7)


def slow_attention(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None) -> Tensor:
    """Row by row, in the obvious way."""
    result = torch.zeros(*q.shape[:-1], v.shape[-1], dtype=q.dtype)
    for b in range(q.shape[0]):
        for h in range(q.shape[1]):
            for i in range(q.shape[2]):
                keys = [j for j in range(k.shape[2]) if mask is None or bool(mask[b, 0, i, j])]
                if not keys:
                    continue
                scores = torch.stack([q[b, h, i] @ k[b, h, j] / math.sqrt(q.shape[-1]) for j in keys])
                result[b, h, i] = scores.softmax(0) @ v[b, h, keys]
    return result


@pytest.mark.parametrize("kernel", KERNELS)
def test_attention_equals_a_row_by_row_computation(kernel) -> None:
    q, k, v = tensors()
    torch.testing.assert_close(kernel(q, k, v), slow_attention(q, k, v, None))


@pytest.mark.parametrize("kernel", KERNELS)
def test_masked_keys_do_not_count_and_a_row_without_keys_gives_zeros(kernel) -> None:
    q, k, v = tensors()
    mask = torch.rand(3, 1, 5, 7, generator=torch.Generator().manual_seed(1)) > 0.5
    mask[1, 0, 2] = False
    result = kernel(q, k, v, mask=mask)
    torch.testing.assert_close(result, slow_attention(q, k, v, mask))
    assert bool((result[1, :, 2] == 0).all())


@pytest.mark.parametrize("num_frames", [3, 20])
@pytest.mark.parametrize("kernel", KERNELS)
def test_a_masked_key_does_not_count_where_the_bias_forbids_all_others(kernel, num_frames: int) -> None:
    q, k, v = (torch.randn(1, 1, num_frames, 4, requires_grad=True) for _ in range(3))
    causal = torch.full((num_frames, num_frames), -math.inf).triu(1)
    out = kernel(q, k, v, mask=(torch.arange(num_frames) > 0)[None, None, None], bias=causal)
    assert out[0, 0, 0].abs().max() == 0
    out.square().sum().backward()
    assert v.grad[0, 0, 0].abs().max() == 0
    assert all(x.grad.isfinite().all() for x in (q, k, v))


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("num_tokens", [5, 300])
def test_dtypes_may_differ_under_autocast_and_the_bias_be_float32(kernel, num_tokens: int) -> None:
    q, k, v = (torch.randn(1, 2, num_tokens, 8) for _ in range(3))
    wanted = einsum(q, k, v)
    with torch.autocast("cpu", torch.bfloat16):
        torch.testing.assert_close(kernel(q, k, v.bfloat16()).float(), wanted, rtol=0.05, atol=0.05)
    bias = torch.zeros(1, 1, num_tokens, num_tokens)
    low = kernel(*(x.bfloat16() for x in (q, k, v)), bias=bias)
    torch.testing.assert_close(low.float(), wanted, rtol=0.05, atol=0.05)


@pytest.mark.parametrize("kernel", KERNELS)
def test_gradients_are_finite_where_a_row_has_no_keys(kernel) -> None:
    q, k, v = (x.requires_grad_() for x in tensors())
    mask = torch.zeros(3, 1, 5, 7, dtype=torch.bool)
    mask[0] = True
    kernel(q, k, v, mask=mask).square().sum().backward()
    for x in (q, k, v):
        assert bool(x.grad.isfinite().all())
        assert bool((x.grad[1:] == 0).all())


@pytest.mark.parametrize("kernel", KERNELS)
def test_garbage_behind_the_mask_changes_nothing(kernel) -> None:
    q, k, v = tensors()
    mask = torch.ones(3, 1, 1, 7, dtype=torch.bool)
    mask[..., 4:] = False
    expected = kernel(q, k, v, mask=mask)
    k[:, :, 4:], v[:, :, 4:] = 1e4, -1e4
    torch.testing.assert_close(kernel(q, k, v, mask=mask), expected)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("biased", [False, True])
def test_kernels_agree_with_float64_in_values_and_gradients(dtype, masked: bool, biased: bool) -> None:
    generator = torch.Generator().manual_seed(3)
    mask = torch.rand(3, 1, 5, 7, generator=generator) > 0.3 if masked else None
    bias = torch.randn(1, 2, 5, 7, generator=generator, dtype=torch.float64) if biased else None
    wanted = [x.requires_grad_() for x in tensors()]
    expected = einsum(*wanted, mask=mask, bias=bias)
    expected.sum().backward()
    tolerance = {"atol": 5e-2, "rtol": 5e-2} if dtype is torch.bfloat16 else {"atol": 1e-5, "rtol": 1e-5}
    for kernel in KERNELS:
        got = [x.detach().to(dtype).requires_grad_() for x in wanted]
        result = kernel(*got, mask=mask, bias=None if bias is None else bias.to(dtype))
        result.sum().backward()
        torch.testing.assert_close(result.double(), expected.detach(), **tolerance)
        for x, y in zip(got, wanted, strict=True):
            torch.testing.assert_close(x.grad.double(), y.grad, **tolerance)


@pytest.mark.parametrize("kernel", KERNELS)
def test_gradcheck(kernel) -> None:
    q, k, v = (x[:1, :1, :3, :4].contiguous().requires_grad_() for x in tensors())
    mask = torch.tensor([True, False, True])[None, None, None]
    assert torch.autograd.gradcheck(lambda q, k, v: kernel(q, k, v, mask=mask), (q, k, v))

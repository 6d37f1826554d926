"""Matrix products: by oneDNN on a CPU, by torch itself elsewhere and in float64."""

import math
from typing import Any

import torch
from torch import Tensor

_HAS_ONEDNN = torch.backends.mkldnn.is_available() and hasattr(torch.ops.mkldnn, "_linear_pointwise")
"""The operator is private to torch, so a future version may lack it."""

_PIECE = 512
"""Rows or columns computed at a time if the product is then stored or added elsewhere: a piece fits the cache."""

_LEAST_GAINING, _LEAST_SIZE = 1 << 21, 8
"""oneDNN is faster for products of at least so many multiplications, and so many rows, columns and terms."""
_HAS_AVX512 = torch.backends.cpu.get_cpu_capability() == "AVX512"  # without it both are about equally fast


def product(a: Tensor, b: Tensor, row: Tensor | None = None) -> Tensor:
    """a (m, k) @ b (k, n), plus a contiguous row (n,) if given, by oneDNN on a CPU in fp32 and bf16.

    torch.mm uses MKL in fp32, which leaves AVX-512 unused on processors that Intel did not make: on one Zen 5 core
    it reaches 95 GFLOP/s, and oneDNN 215. No public function of torch reaches oneDNN in fp32; this operator is the one
    that torch.compile emits for a linear layer. One call costs 17 us, which is too much for small products.
    """
    if not _suits_onednn(a):
        return a @ b if row is None else torch.addmm(row, a, b)
    if not (b.is_contiguous() or b.T.is_contiguous()):
        b = b.contiguous()  # with any other layout oneDNN falls back to its reference loop, 1000 times slower
    return torch.ops.mkldnn._linear_pointwise(a, b.T, row, "none", [], "")


def product_into(out: Tensor, a: Tensor, b: Tensor) -> None:
    """out (m, n) = a (m, k) @ b (k, n), meant for n much larger than m."""
    if a.dtype is torch.bfloat16 or not _suits_onednn(a):  # torch.mm uses oneDNN for bf16
        torch.mm(a, b, out=out)
        return
    for start in range(0, b.shape[1], _PIECE):
        piece = slice(start, start + _PIECE)
        out[:, piece] = product(a, b[:, piece])


def add_product_(total: Tensor, a: Tensor, b: Tensor) -> None:
    """total (m, n) += a (m, k) @ b (k, n), meant for m much larger than n. total may have a wider dtype."""
    if not _suits_onednn(a):
        if total.dtype == a.dtype:
            total.addmm_(a, b)
        elif total.is_cuda:
            torch.addmm(total, a, b, out_dtype=total.dtype, out=total)
        else:
            total.add_(a @ b)
        return
    for start in range(0, a.shape[0], _PIECE):
        piece = slice(start, start + _PIECE)
        total[piece] += product(a[piece], b)


def gains_from_onednn(x: Tensor, weight: Tensor) -> bool:
    """Whether `product` of x (..., in) and weight (out, in) is faster than torch's own product.

    Only in fp32: for bf16 and under autocast torch uses oneDNN anyway.
    """
    num_outputs, num_inputs = weight.shape
    sizes = (x.numel() // max(1, num_inputs), num_inputs, num_outputs)
    is_large = min(sizes) >= _LEAST_SIZE and math.prod(sizes) >= _LEAST_GAINING
    is_fp32 = x.dtype is torch.float32 and not torch.is_autocast_enabled("cpu")
    return is_large and is_fp32 and _HAS_AVX512 and _suits_onednn(x)


def flops_of_product(a_shape: torch.Size, b_shape: torch.Size, *_: Any, out_shape: Any = None, **__: Any) -> int:
    """The FLOPs of a product, for torch's FlopCounterMode, which does not know the operator."""
    return 2 * a_shape.numel() * b_shape[0]


def flops_of_addmm(_: torch.Size, a_shape: torch.Size, b_shape: torch.Size, *__: Any, **___: Any) -> int:
    """The FLOPs of torch's addmm; torch's own formula fails where the result has a dtype of its own."""
    return 2 * a_shape.numel() * b_shape[1]


FLOPS: dict[Any, Any] = {torch.ops.aten.addmm: flops_of_addmm}
if _HAS_ONEDNN:
    FLOPS[torch.ops.mkldnn._linear_pointwise] = flops_of_product
"""What to pass to FlopCounterMode as custom_mapping."""


def _suits_onednn(a: Tensor) -> bool:
    return _HAS_ONEDNN and a.device.type == "cpu" and a.dtype in (torch.float32, torch.bfloat16)

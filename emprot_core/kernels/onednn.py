"""Matrix products: on a CPU by oneDNN, elsewhere and in float64 torch's own."""

import math
from typing import Any

import torch
from torch import Tensor

_HAS_ONEDNN = torch.backends.mkldnn.is_available() and hasattr(torch.ops.mkldnn, "_linear_pointwise")
"""The operator is private to torch, so a coming version may lack it."""

_PIECE = 512
"""Rows or columns of a product that is stored or added elsewhere: a piece fits the cache."""

_LEAST_GAINING, _LEAST_SIZE = 1 << 21, 8
"""Multiplications of a product, and its rows, columns and terms, from which on oneDNN is the faster one."""
_HAS_AVX512 = torch.backends.cpu.get_cpu_capability() == "AVX512"  # without, the two are about as fast


def product(a: Tensor, b: Tensor, row: Tensor | None = None) -> Tensor:
    """a (m, k) @ b (k, n), plus row (n,), contiguous, where given, by oneDNN on a CPU in fp32 and bf16.

    torch.mm takes fp32 to MKL, which leaves AVX-512 unused on processors that Intel did not make: 95 GFLOP/s
    where oneDNN gives 215, on one Zen 5 core. No public function of torch reaches oneDNN in fp32; this operator is the
    one that torch.compile emits for a linear layer. One call costs 17 us: not for small products.
    """
    if not _suits_onednn(a):
        return a @ b if row is None else torch.addmm(row, a, b)
    if not (b.is_contiguous() or b.T.is_contiguous()):
        b = b.contiguous()  # with any other layout oneDNN falls back to its reference loop, 1000 times slower
    return torch.ops.mkldnn._linear_pointwise(a, b.T, row, "none", [], "")


def product_into(out: Tensor, a: Tensor, b: Tensor) -> None:
    """out (m, n) = a (m, k) @ b (k, n), made for n much larger than m."""
    if a.dtype is torch.bfloat16 or not _suits_onednn(a):  # torch.mm takes bf16 to oneDNN itself
        torch.mm(a, b, out=out)
        return
    for start in range(0, b.shape[1], _PIECE):
        piece = slice(start, start + _PIECE)
        out[:, piece] = product(a, b[:, piece])


def add_product_(total: Tensor, a: Tensor, b: Tensor) -> None:
    """total (m, n) += a (m, k) @ b (k, n), made for m much larger than n; total may have the wider type."""
    if not _suits_onednn(a):
        if total.dtype == a.dtype:
            total.addmm_(a, b)
        else:
            total.add_(a @ b)
        return
    for start in range(0, a.shape[0], _PIECE):
        piece = slice(start, start + _PIECE)
        total[piece] += product(a[piece], b)


def gains_from_onednn(x: Tensor, weight: Tensor) -> bool:
    """Whether `product` of x (..., in) and weight (out, in) is faster than torch's own.

    In fp32 alone: bf16 and autocast bring torch to oneDNN anyway.
    """
    num_outputs, num_inputs = weight.shape
    sizes = (x.numel() // max(1, num_inputs), num_inputs, num_outputs)
    is_large = min(sizes) >= _LEAST_SIZE and math.prod(sizes) >= _LEAST_GAINING
    is_fp32 = x.dtype is torch.float32 and not torch.is_autocast_enabled("cpu")
    return is_large and is_fp32 and _HAS_AVX512 and _suits_onednn(x)


def flops_of_product(a_shape: torch.Size, b_shape: torch.Size, *_: Any, out_shape: Any = None, **__: Any) -> int:
    """For torch's FlopCounterMode, which does not know the operator."""
    return 2 * a_shape.numel() * b_shape[0]


FLOPS = {torch.ops.mkldnn._linear_pointwise: flops_of_product} if _HAS_ONEDNN else {}
"""The custom_mapping of a FlopCounterMode."""


def _suits_onednn(a: Tensor) -> bool:
    return _HAS_ONEDNN and a.device.type == "cpu" and a.dtype in (torch.float32, torch.bfloat16)

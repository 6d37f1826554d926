"""The matrix product that the CPU kernels are made of."""

import torch
from torch import Tensor


def product(a: Tensor, b: Tensor) -> Tensor:
    """a (m, k) @ b (k, n), by oneDNN on a CPU in fp32 and bf16.

    torch.mm takes fp32 to MKL, which leaves AVX-512 unused on processors that Intel did not make: 95 GFLOP/s
    where oneDNN gives 215, on one Zen 5 core. No public function of torch reaches oneDNN in fp32; this operator is the
    one that torch.compile emits for a linear layer. One call costs 17 us: not for small products.
    """
    if a.device.type != "cpu" or a.dtype not in (torch.float32, torch.bfloat16) or not _has_onednn():
        return a @ b
    if not (b.is_contiguous() or b.T.is_contiguous()):
        b = b.contiguous()  # with any other layout oneDNN falls back to its reference loop, 1000 times slower
    return torch.ops.mkldnn._linear_pointwise(a, b.T, None, "none", [], "")


def _has_onednn() -> bool:
    return torch.backends.mkldnn.is_available()

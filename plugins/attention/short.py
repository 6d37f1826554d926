"""Attention over many short sequences on CUDA: one kernel forward, one backward."""

from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function
from torch.autograd.function import once_differentiable

from emprot_core.kernels import sdpa, triton_runs
from emprot_core.registry import register

from .blockwise import token_major

LONGEST = 64
"""The most queries or keys that one program holds."""
_MOST_BYTES = 1 << 14
"""Of queries, keys or values, padded to powers of two: with more, a program outgrows the memory of smaller devices."""
_DTYPES = (torch.float32, torch.bfloat16, torch.float16)


@register("attention")
def short(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None = None, bias: Tensor | None = None) -> Tensor:
    """Same arguments and results as `einsum`; made for K <= 64 frames of each of thousands of residues on CUDA.

    Cases that it does not know go to `sdpa`: another device, a bias, more than 64 queries or keys, wide heads (above
    128 in half precision, 64 in float32), float64, and a machine on which Triton builds no kernel. It is not
    differentiable twice. torch.compile takes it into its graph as one operation.
    """
    if bias is not None or not (q.is_cuda and _is_known(q, k, v)):
        return sdpa(q, k, v, mask=mask, bias=bias)
    if torch.compiler.is_compiling():  # the compiler needs Triton too
        return _attend(q, k, v, mask)
    return _Short.apply(q, k, v, mask) if triton_runs() else sdpa(q, k, v, mask=mask)


def _is_known(q: Tensor, k: Tensor, v: Tensor) -> bool:
    longest, size = int(max(q.shape[2], k.shape[2])), int(q.shape[3])
    num_bytes = (1 << (longest - 1).bit_length()) * (1 << (size - 1).bit_length()) * q.dtype.itemsize
    fits = longest <= LONGEST and num_bytes <= _MOST_BYTES and size == v.shape[3] and q.numel() > 0
    is_left_alone = q.dtype != torch.float32 or not torch.is_autocast_enabled("cuda")
    return fits and is_left_alone and q.dtype == k.dtype == v.dtype in _DTYPES


def _forward(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None) -> Tensor:
    from ._short_kernel import forward  # needs triton, which torch brings on CUDA only

    return forward(q, k, v, mask)


def _backward(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None, grad: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    from ._short_kernel import backward

    return backward(q, k, v, mask, grad)


class _Short(Function):
    """The eager form: an operation of torch.library costs twice as much to call."""

    @staticmethod
    def forward(ctx: Any, q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None) -> Tensor:
        ctx.save_for_backward(q, k, v, mask)
        return _forward(q, k, v, mask)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        q, k, v, mask = ctx.saved_tensors
        return *_backward(q, k, v, mask, grad), None


_INPUTS = "Tensor q, Tensor k, Tensor v, Tensor? mask"
_attend = torch.library.custom_op("emprot::short_attention", _forward, mutates_args=(), schema=f"({_INPUTS}) -> Tensor")
_gradients = torch.library.custom_op(
    "emprot::short_attention_gradients",
    _backward,
    mutates_args=(),
    schema=f"({_INPUTS}, Tensor grad) -> (Tensor, Tensor, Tensor)",
)
_attend.register_fake(lambda q, k, v, mask: token_major(q, q.shape[2]))
_gradients.register_fake(
    lambda q, k, v, mask, grad: (token_major(q, q.shape[2]), token_major(k, k.shape[2]), token_major(v, v.shape[2]))
)
_attend.register_autograd(
    lambda ctx, grad: (*_gradients(*ctx.saved_tensors, grad), None),
    setup_context=lambda ctx, inputs, output: ctx.save_for_backward(*inputs),
)

"""Chooses the kernel that was the fastest at the nearest shape that benchmarks/attention.py has measured."""

import math

import torch
from torch import Tensor

from emprot_core.contracts import Attention
from emprot_core.kernels.attention import einsum, sdpa
from emprot_core.registry import register

from .grouped import grouped
from .packed import packed
from .short import short
from .table import FASTEST

KERNELS: dict[str, Attention] = {kernel.__name__: kernel for kernel in (einsum, sdpa, grouped, packed, short)}
TRACEABLE = ("einsum", "sdpa", "short")
"""The kernels that torch.compile can take into its graph."""


@register("attention")
def auto(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None = None, bias: Tensor | None = None) -> Tensor:
    """Takes the arguments of `einsum` and runs the kernel that was the fastest at the nearest measured shape.

    The choice depends on the device, the dtype, the numbers of queries and keys, the size of a head, and on whether
    mask and bias are the same for all queries. Cases that nobody measured use `sdpa`.
    """
    sizes = (q.shape[2], k.shape[2], q.shape[3])
    name = choice(q.device.type, q.dtype, sizes, _by_query(mask, bias), torch.compiler.is_compiling())
    return KERNELS[name](q, k, v, mask=mask, bias=bias)


def choice(
    device: str, dtype: torch.dtype, sizes: tuple[int, int, int], by_query: bool, compiling: bool = False
) -> str:
    """The name of the kernel that `auto` uses; `sizes` are the numbers of queries and keys and the head size."""
    rows = FASTEST.get((device, str(dtype).removeprefix("torch."), by_query))
    if rows is None:
        return "sdpa"

    def distance(row: tuple[int, int, int, str, str]) -> float:
        return sum(abs(math.log(measured / max(1, size))) for measured, size in zip(row[:3], sizes, strict=True))

    *_, fastest, traceable = min(rows, key=distance)
    return traceable if compiling else fastest


def _by_query(mask: Tensor | None, bias: Tensor | None) -> bool:
    return any(x is not None and x.dim() > 1 and x.shape[-2] > 1 for x in (mask, bias))

"""Attention of one sequence and one head in one Triton program, forward and backward.

The operations of torch launch a dozen kernels each way, and their launches cost more than the work of short sequences.
Imported on CUDA only, because triton comes with torch there.
"""

from typing import Any

import triton
import triton.language as tl
from torch import Tensor

from .blockwise import token_major


@triton.jit  # type: ignore[untyped-decorator]
def _rows(x, batch, head, rows, row_mask, b, h, t, D: tl.constexpr, wide: tl.constexpr):  # type: ignore[no-untyped-def]
    """Tokens `rows` of x, which has the strides b, h, t and 1, as (rows, wide); zeros where there are none."""
    column = tl.arange(0, wide)
    place = x + batch.to(tl.int64) * b + head * h + rows[:, None] * t + column[None, :]
    return tl.load(place, mask=row_mask[:, None] & (column < D)[None, :], other=0.0)


@triton.jit  # type: ignore[untyped-decorator]
def _put(  # type: ignore[no-untyped-def]
    into, value, batch, head, rows, row_mask, heads, T: tl.constexpr, D: tl.constexpr, wide: tl.constexpr
):
    """Write (rows, wide) to a contiguous (batch, T, heads, D)."""
    column = tl.arange(0, wide)
    place = into + ((batch.to(tl.int64) * T + rows) * heads + head)[:, None] * D + column[None, :]
    tl.store(place, value.to(into.dtype.element_ty), mask=row_mask[:, None] & (column < D)[None, :])


@triton.jit  # type: ignore[untyped-decorator]
def _weights(  # type: ignore[no-untyped-def]
    q, k, mask, batch, head, query, key, is_query, is_key, scale, mb, mh, mq, mk, has_mask: tl.constexpr
):
    """softmax(q k^T scale) over the allowed keys, float32; zeros for a query without any."""
    scores = tl.dot(q, tl.trans(k), input_precision="ieee") * scale
    allowed = is_query[:, None] & is_key[None, :]
    if has_mask:
        place = mask + batch.to(tl.int64) * mb + head * mh + query[:, None] * mq + key[None, :] * mk
        allowed = allowed & (tl.load(place, mask=allowed, other=0) != 0)
    scores = tl.where(allowed, scores, -3.0e38)
    unscaled = tl.where(allowed, tl.exp(scores - tl.max(scores, 1)[:, None]), 0.0)
    total = tl.sum(unscaled, 1)
    return unscaled / tl.where(total > 0, total, 1.0)[:, None]


@triton.jit  # type: ignore[untyped-decorator]
def _forward(  # type: ignore[no-untyped-def]
    q, k, v, mask, out, scale, heads,
    qb, qh, qt, kb, kh, kt, vb, vh, vt, mb, mh, mq, mk,
    Q: tl.constexpr, K: tl.constexpr, D: tl.constexpr,
    queries: tl.constexpr, keys: tl.constexpr, wide: tl.constexpr, has_mask: tl.constexpr,
) -> None:  # fmt: skip
    batch, head = tl.program_id(0) // heads, tl.program_id(0) % heads
    query, key = tl.arange(0, queries), tl.arange(0, keys)
    is_query, is_key = query < Q, key < K
    q_rows = _rows(q, batch, head, query, is_query, qb, qh, qt, D, wide)
    k_rows = _rows(k, batch, head, key, is_key, kb, kh, kt, D, wide)
    v_rows = _rows(v, batch, head, key, is_key, vb, vh, vt, D, wide)
    weights = _weights(q_rows, k_rows, mask, batch, head, query, key, is_query, is_key, scale, mb, mh, mq, mk, has_mask)
    mixed = tl.dot(weights.to(v_rows.dtype), v_rows, input_precision="ieee")
    _put(out, mixed, batch, head, query, is_query, heads, Q, D, wide)


@triton.jit  # type: ignore[untyped-decorator]
def _backward(  # type: ignore[no-untyped-def]
    q, k, v, mask, grad, grad_q, grad_k, grad_v, scale, heads,
    qb, qh, qt, kb, kh, kt, vb, vh, vt, gb, gh, gt, mb, mh, mq, mk,
    Q: tl.constexpr, K: tl.constexpr, D: tl.constexpr,
    queries: tl.constexpr, keys: tl.constexpr, wide: tl.constexpr, has_mask: tl.constexpr,
) -> None:  # fmt: skip
    batch, head = tl.program_id(0) // heads, tl.program_id(0) % heads
    query, key = tl.arange(0, queries), tl.arange(0, keys)
    is_query, is_key = query < Q, key < K
    q_rows = _rows(q, batch, head, query, is_query, qb, qh, qt, D, wide)
    k_rows = _rows(k, batch, head, key, is_key, kb, kh, kt, D, wide)
    v_rows = _rows(v, batch, head, key, is_key, vb, vh, vt, D, wide)
    errors = _rows(grad, batch, head, query, is_query, gb, gh, gt, D, wide)
    weights = _weights(q_rows, k_rows, mask, batch, head, query, key, is_query, is_key, scale, mb, mh, mq, mk, has_mask)
    to_v = tl.dot(tl.trans(weights.to(errors.dtype)), errors, input_precision="ieee")
    _put(grad_v, to_v, batch, head, key, is_key, heads, K, D, wide)
    of_weights = tl.dot(errors, tl.trans(v_rows), input_precision="ieee")
    mean = tl.sum(of_weights * weights, 1)
    of_scores = (weights * (of_weights - mean[:, None]) * scale).to(q_rows.dtype)
    to_q = tl.dot(of_scores, k_rows, input_precision="ieee")
    _put(grad_q, to_q, batch, head, query, is_query, heads, Q, D, wide)
    to_k = tl.dot(tl.trans(of_scores), q_rows, input_precision="ieee")
    _put(grad_k, to_k, batch, head, key, is_key, heads, K, D, wide)


def forward(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None) -> Tensor:
    """softmax(q k^T / sqrt(d)) v over the keys that the mask allows, stored as blockwise.token_major.

    Args:
        q: (batch, heads, queries, d).
        k, v: (batch, heads, keys, d).
        mask: bool, broadcasts to (batch, heads, queries, keys), or None.
    """
    out = token_major(q, q.shape[2])
    _launch(_forward, (q, k, v), mask, (out,))
    return out


def backward(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None, grad: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The gradients of q, k and v, stored alike; `grad` is that of `forward`."""
    grads = token_major(q, q.shape[2]), token_major(k, k.shape[2]), token_major(v, v.shape[2])
    _launch(_backward, (q, k, v, grad), mask, grads)
    return grads


def _launch(kernel: Any, given: tuple[Tensor, ...], mask: Tensor | None, results: tuple[Tensor, ...]) -> None:
    given = tuple(x if x.stride(-1) == 1 else x.contiguous() for x in given)
    batch, heads, num_queries, d = given[0].shape
    num_keys = given[1].shape[2]
    strides = [x.stride(dim) for x in given for dim in range(3)]
    strides += (0,) * 4 if mask is None else mask.expand(batch, heads, num_queries, num_keys).stride()
    tile = [max(16, triton.next_power_of_2(size)) for size in (num_queries, num_keys, d)]
    kernel[(batch * heads,)](
        *given[:3], mask, *given[3:], *results, d**-0.5, heads, *strides,
        num_queries, num_keys, d, *tile, mask is not None,
        num_warps=1 if max(tile[:2]) == 16 else 4,
    )  # fmt: skip

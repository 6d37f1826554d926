"""The way of a chunk on CUDA, for whose kernel a formula stands in; tests/runs/test_cuda.py has the kernel itself."""

import importlib
import sys
from types import SimpleNamespace

import pytest
import torch
from torch import Tensor

from emprot_core import registry

chunks = importlib.import_module("emprot_plugins.losses.chunk_softmax")
chunked = importlib.import_module("emprot_plugins.losses.chunked_cross_entropy")
Loss = registry.get("loss", "LinearCrossEntropy")


def softmax_(
    logits: Tensor, bias: Tensor | None, bias_row: Tensor, target: Tensor, smoothing: float, wants_gradient: bool
) -> tuple[Tensor, Tensor, Tensor]:
    x = logits.float() + (0 if bias is None else bias[bias_row])
    log_p = x.log_softmax(dim=1)
    nll = -log_p.gather(1, target[:, None])[:, 0]
    if wants_gradient:
        error = x.softmax(dim=1) - smoothing / x.shape[1]
        logits.copy_(error.scatter_add_(1, target[:, None], error.new_full((len(x), 1), smoothing - 1)))
    return (1 - smoothing) * nll - smoothing * log_p.mean(dim=1), nll, x.argmax(dim=1)


def loss_and_gradients(batch, bias_shape: tuple[int, ...], **options) -> list[Tensor]:
    generator = torch.Generator().manual_seed(1)
    shapes = [(*batch["future_cluster_ids"].shape, 6), (11, 6), *[bias_shape] * bool(bias_shape)]
    leaves = [torch.randn(shape, generator=generator).requires_grad_() for shape in shapes]
    outputs = {"features": leaves[0], "weight": leaves[1], "bias": leaves[2] if bias_shape else None}
    terms = Loss(**options, chunk_rows=13)(outputs, batch)
    predicted = terms.scores.predicted[terms.scores.mask].float()
    return [terms.sum, terms.scores.nll, predicted, *torch.autograd.grad(terms.sum, leaves)]


@pytest.mark.parametrize("options", [{}, {"label_smoothing": 0.2, "horizon_weights": [1.0, 2.0, 0.5]}])
@pytest.mark.parametrize("bias_shape", [(), (11,), (3, 11)])
@pytest.mark.parametrize("is_half", [False, True])
def test_both_ways_give_the_same(make_batch, monkeypatch, bias_shape: tuple[int, ...], options, is_half: bool) -> None:
    batch = make_batch(missing=True)
    found = []
    for _ in range(2):
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=is_half):
            found.append(loss_and_gradients(batch, bias_shape, **options))
        stand_in = SimpleNamespace(softmax_=softmax_)
        monkeypatch.setitem(sys.modules, "emprot_plugins.losses._softmax_kernel", stand_in)
        monkeypatch.setattr(chunked, "by_torch", chunks.on_cuda)
    for by_torch, on_cuda in zip(*found, strict=True):
        assert on_cuda.dtype == torch.float32
        assert float((on_cuda - by_torch).detach().norm() / by_torch.detach().norm()) < (2e-2 if is_half else 1e-6)

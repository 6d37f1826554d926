"""Dropout: the numbers of torch's own."""

import pytest
import torch
from torch import nn

from emprot_core.kernels import Dropout


@pytest.mark.parametrize("p", [0.1, 0.5, 0.93])
@pytest.mark.parametrize("shape", [(3, 7), (70_000,), (2, 5, 60, 128)])
def test_it_draws_the_numbers_of_torch(shape: tuple[int, ...], p: float) -> None:
    x = torch.randn(shape)
    found = []
    for layer in (Dropout(p), nn.Dropout(p)):
        torch.manual_seed(0)
        own = x.clone().requires_grad_()
        dropped = layer(own)
        dropped.square().sum().backward()
        found.append((dropped, own.grad, torch.rand(1)))  # what is drawn next is the same too
    for ours, theirs in zip(*found, strict=True):
        assert torch.equal(ours, theirs)


def test_what_it_does_not_draw_itself_is_left_to_torch() -> None:
    x = torch.randn(6, 4)
    for layer, given in (
        (Dropout(0.5).eval(), x),
        (Dropout(0.0), x),
        (Dropout(1.0), x),
        (Dropout(0.5), x.double()),
        (Dropout(0.5), x.T),
    ):
        torch.manual_seed(0)
        ours = layer(given)
        torch.manual_seed(0)
        assert torch.equal(ours, nn.functional.dropout(given, layer.p, layer.training))

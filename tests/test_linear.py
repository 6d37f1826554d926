"""The linear layer by oneDNN: torch's numbers, gradients included, and torch's own way where oneDNN is none."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from emprot_core.attention import products
from emprot_core.attention.linear import Linear, _Linear, linear
from emprot_core.attention.products import FLOPS

ONEDNN = pytest.mark.skipif(not products._HAS_ONEDNN, reason="this torch has no oneDNN")


@pytest.fixture(autouse=True)
def _every_size_gains(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(products, "_LEAST_GAINING", 0)


def normal(*shape: int, dtype: torch.dtype = torch.float32) -> Tensor:
    generator = torch.Generator().manual_seed(sum(shape))
    return torch.randn(shape, generator=generator, dtype=torch.float64).to(dtype)


def takes_onednn(x: Tensor, weight: Tensor) -> bool:
    out = linear(x, weight.requires_grad_())
    return out.grad_fn is not None and out.grad_fn.name().startswith(_Linear.__name__)


@pytest.mark.parametrize("shape", [(6,), (5, 6), (3, 5, 6), (2, 3, 5, 6)])
@pytest.mark.parametrize("num_outputs", [3, 9])
@pytest.mark.parametrize("has_bias", [True, False])
def test_values_and_gradients_are_those_of_torch_in_float64(shape, num_outputs: int, has_bias: bool) -> None:
    inputs = [normal(*shape), normal(num_outputs, 6), *([normal(num_outputs)] if has_bias else [])]
    found = [x.clone().requires_grad_() for x in inputs]
    wanted = [x.double().requires_grad_() for x in inputs]
    out, exact = linear(*found), F.linear(*wanted)
    upstream = normal(*out.shape)
    gradients = torch.autograd.grad(out, found, upstream)
    exact_gradients = torch.autograd.grad(exact, wanted, upstream.double())
    for ours, theirs in zip((out, *gradients), (exact, *exact_gradients), strict=True):
        torch.testing.assert_close(ours.double(), theirs, rtol=1e-5, atol=1e-5)


def test_inputs_and_gradients_may_have_any_layout() -> None:
    x = normal(4, 6, 5).transpose(1, 2)[:, ::2].requires_grad_()
    weight, upstream = normal(6, 3).T.requires_grad_(), normal(3, 3, 4).transpose(0, 2)
    for ours, theirs in zip(
        (linear(x, weight), *torch.autograd.grad(linear(x, weight), (x, weight), upstream)),
        (F.linear(x, weight), *torch.autograd.grad(F.linear(x, weight), (x, weight), upstream)),
        strict=True,
    ):
        torch.testing.assert_close(ours, theirs)


@ONEDNN
@pytest.mark.parametrize("frozen", ["x", "weight", "bias"])
def test_what_needs_no_gradient_gets_none(frozen: str) -> None:
    inputs = {"x": normal(4, 6), "weight": normal(3, 6), "bias": normal(3)}
    for name, tensor in inputs.items():
        tensor.requires_grad_(name != frozen)
    linear(**inputs).sum().backward()
    assert [name for name, tensor in inputs.items() if tensor.grad is None] == [frozen]


@ONEDNN
def test_fp32_goes_by_onednn_and_float64_bf16_autocast_and_small_products_by_torch(monkeypatch) -> None:
    assert takes_onednn(normal(4, 6), normal(3, 6))
    for dtype in (torch.float64, torch.bfloat16):
        assert not takes_onednn(normal(4, 6, dtype=dtype), normal(3, 6, dtype=dtype))
    with torch.autocast("cpu"):
        assert not takes_onednn(normal(4, 6), normal(3, 6))
    monkeypatch.setattr(products, "_LEAST_GAINING", 4 * 6 * 3 + 1)
    assert not takes_onednn(normal(4, 6), normal(3, 6))


def test_the_layer_is_torchs_but_for_its_way() -> None:
    ours, theirs = Linear(6, 3), nn.Linear(6, 3)
    theirs.load_state_dict(ours.state_dict())
    torch.testing.assert_close(ours(normal(4, 6)), theirs(normal(4, 6)))


@ONEDNN
def test_flops_are_counted() -> None:
    x, weight = normal(4, 6).requires_grad_(), normal(3, 6).requires_grad_()
    with FlopCounterMode(display=False, custom_mapping=FLOPS) as counter:
        linear(x, weight).sum().backward()
    assert counter.get_total_flops() == 3 * 2 * 4 * 6 * 3

"""The linear layer by oneDNN: torch's numbers, gradients included, and torch's own way where oneDNN is none."""

from unittest.mock import Mock

import pytest
import torch
import torch.nn.functional as F
from emprot_plugins.mixings.layers import TransformerLayer
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode
from trainings import hook

from emprot_core.kernels import einsum, onednn
from emprot_core.kernels.linear import Linear, linear
from emprot_core.kernels.onednn import FLOPS

ONEDNN = pytest.mark.skipif(not onednn._HAS_ONEDNN, reason="this torch has no oneDNN")


@pytest.fixture(autouse=True)
def _every_size_gains(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(onednn, "_HAS_AVX512", True)
    monkeypatch.setattr(onednn, "_LEAST_GAINING", 0)
    monkeypatch.setattr(onednn, "_LEAST_SIZE", 0)


def normal(*shape: int, dtype: torch.dtype = torch.float32) -> Tensor:
    generator = torch.Generator().manual_seed(sum(shape))
    return torch.randn(shape, generator=generator, dtype=torch.float64).to(dtype)


def flops(work, mapping=FLOPS) -> int:
    with FlopCounterMode(display=False, custom_mapping=mapping) as counter:
        work()
    return counter.get_total_flops()


def takes_onednn(x: Tensor, weight: Tensor) -> bool:
    """Told by torch's counter, which does not know the operator without FLOPS."""
    return flops(lambda: linear(x, weight), mapping={}) == 0


def test_a_product_with_a_bias_is_counted_also_where_its_result_has_another_dtype() -> None:
    row, a, b = normal(5), normal(4, 6), normal(6, 5)
    assert flops(lambda: torch.addmm(row, a, b)) == 2 * 4 * 6 * 5
    shapes = (row.shape, a.shape, b.shape)  # as the counter calls it for a dtype of the result, which only CUDA takes
    assert FLOPS[torch.ops.aten.addmm](*shapes, torch.float32, out_shape=torch.Size((4, 5))) == 2 * 4 * 6 * 5


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
    num_products = 2 if frozen != "bias" else 3  # forward, and one for each gradient but the bias's
    assert flops(lambda: linear(**inputs).sum().backward()) == num_products * 2 * 4 * 6 * 3
    assert [name for name, tensor in inputs.items() if tensor.grad is None] == [frozen]


@ONEDNN
def test_fp32_goes_by_onednn_and_float64_bf16_autocast_and_small_products_by_torch(monkeypatch) -> None:
    assert takes_onednn(normal(4, 6), normal(3, 6))
    for dtype in (torch.float64, torch.bfloat16):
        assert not takes_onednn(normal(4, 6, dtype=dtype), normal(3, 6, dtype=dtype))
    with torch.autocast("cpu"):
        assert not takes_onednn(normal(4, 6), normal(3, 6))
    for name, too_much in (("_LEAST_GAINING", 4 * 6 * 3 + 1), ("_LEAST_SIZE", 5), ("_HAS_AVX512", False)):
        with monkeypatch.context() as patch:
            patch.setattr(onednn, name, too_much)
            assert not takes_onednn(normal(4, 6), normal(3, 6))


def test_the_layer_is_torchs_but_for_its_way() -> None:
    ours, theirs = Linear(6, 3), nn.Linear(6, 3)
    theirs.load_state_dict(ours.state_dict())
    torch.testing.assert_close(ours(normal(4, 6)), theirs(normal(4, 6)))


@pytest.mark.parametrize("bias", [normal(6)[::2], normal(1).expand(3), normal(1, 3), normal(1), torch.tensor(2.0)])
def test_a_bias_of_another_layout_or_shape_is_added_as_torch_does(bias: Tensor) -> None:
    torch.testing.assert_close(
        linear(normal(4, 6), normal(3, 6), bias), F.linear(normal(4, 6), normal(3, 6)) + bias, rtol=1e-5, atol=1e-5
    )


@pytest.mark.parametrize("weight", [normal(3, 5), normal(3, 6).double()])
def test_what_does_not_fit_is_refused_in_torchs_words(weight: Tensor) -> None:
    with pytest.raises(RuntimeError) as theirs:
        F.linear(normal(4, 6), weight)
    with pytest.raises(RuntimeError) as ours:
        linear(normal(4, 6), weight)
    assert str(ours.value) == str(theirs.value)


def test_the_output_may_be_changed_in_place() -> None:
    x = normal(2, 4, 6).requires_grad_()
    linear(x, normal(3, 6)).relu_().sum().backward()
    (expected,) = torch.autograd.grad(F.linear(x, normal(3, 6)).relu().sum(), x)
    torch.testing.assert_close(x.grad, expected)


@ONEDNN
def test_all_linear_layers_of_the_model_go_by_onednn(make_batch, make_trainer, monkeypatch) -> None:
    trainer = make_trainer(dropout=0.0)
    called = Mock(side_effect=F.linear)
    monkeypatch.setattr(F, "linear", called)
    trainer.model.eval()
    trainer.forward_loss(make_batch())
    assert not called.called


def test_a_layers_numbers_do_not_depend_on_the_way(monkeypatch) -> None:
    torch.manual_seed(0)
    layer, x = TransformerLayer(16, 2, 0.0, einsum), normal(3, 5, 16)
    mask = torch.ones(3, 1, 5, dtype=torch.bool)
    by_onednn = layer(x, x, mask)
    monkeypatch.setattr(onednn, "_HAS_ONEDNN", False)
    torch.testing.assert_close(by_onednn, layer(x, x, mask), rtol=1e-5, atol=1e-5)


@ONEDNN
def test_throughput_counts_what_goes_by_onednn(make_batch, make_trainer, monkeypatch) -> None:
    counted = []
    for has_onednn in (True, False):
        monkeypatch.setattr(onednn, "_HAS_ONEDNN", has_onednn)
        throughput = hook("Throughput")
        make_trainer(throughput, dropout=0.0).fit([make_batch()])
        counted.append(throughput._flops_per_step)
    assert counted[0] == counted[1]

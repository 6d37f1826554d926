"""Cross-entropy from features and classifier, against the same numbers from logits."""

import math
from functools import partial

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from emprot_core import registry
from emprot_core.contracts import LossTerms

LinearCrossEntropy = registry.get("loss", "LinearCrossEntropy")
MaskedCrossEntropy = registry.get("loss", "MaskedCrossEntropy")

OPTIONS = [
    {},
    {"label_smoothing": 0.1},
    {"label_smoothing": 0.2, "horizon_weights": [1.0, 2.0, 0.0], "class_weights": [0.5 + 0.1 * c for c in range(11)]},
]
BIASES = {"none": (), "shared": (11,), "per horizon": (3, 11)}
CHUNKS = [1, 5, 13, None]


def factors(batch, bias: str = "per horizon", dtype=torch.float32, width: int = 6) -> dict[str, Tensor | None]:
    """Features, weight and bias that ask for gradients."""
    generator = torch.Generator().manual_seed(1)
    shapes = {"features": (*batch["future_cluster_ids"].shape, width), "weight": (11, width), "bias": BIASES[bias]}
    return {
        name: torch.randn(shape, generator=generator, dtype=torch.float64).to(dtype).requires_grad_() if shape else None
        for name, shape in shapes.items()
    }


def from_logits(outputs, batch, **options) -> LossTerms:
    """The twin: all logits, then MaskedCrossEntropy."""
    logits = torch.nn.functional.linear(outputs["features"], outputs["weight"])
    if outputs["bias"] is not None:
        logits = logits + outputs["bias"].expand(3, 11)[:, None]
    return MaskedCrossEntropy(**options)({"cluster_logits": logits}, batch)


def gradients(terms: LossTerms, outputs) -> list[Tensor]:
    """Of the mean, the number that is optimised."""
    given = [tensor for tensor in outputs.values() if tensor is not None]
    return list(torch.autograd.grad(terms.sum / terms.weight, given))


@pytest.mark.parametrize("chunk_rows", CHUNKS)
@pytest.mark.parametrize("bias", BIASES)
@pytest.mark.parametrize("options", OPTIONS)
def test_loss_and_scores_are_those_of_the_logits(make_batch, options, bias: str, chunk_rows) -> None:
    batch = make_batch(missing=True)
    outputs = factors(batch, bias)
    ours, theirs = (
        LinearCrossEntropy(**options, chunk_rows=chunk_rows)(outputs, batch),
        from_logits(outputs, batch, **options),
    )
    torch.testing.assert_close(ours.sum, theirs.sum, rtol=1e-6, atol=0)
    assert torch.equal(ours.weight, theirs.weight)
    mask = ours.scores.mask
    assert torch.equal(mask, theirs.scores.mask)
    torch.testing.assert_close(ours.scores.nll, theirs.scores.nll, rtol=1e-6, atol=1e-6)
    assert torch.equal(ours.scores.predicted[mask], theirs.scores.predicted[mask])


@pytest.mark.parametrize("chunk_rows", CHUNKS)
@pytest.mark.parametrize("bias", BIASES)
@pytest.mark.parametrize("options", OPTIONS)
def test_gradients_are_those_of_float64_logits_to_a_millionth(make_batch, options, bias: str, chunk_rows) -> None:
    batch = make_batch(missing=True)
    outputs, exact = factors(batch, bias), factors(batch, bias, torch.float64)
    ours = gradients(LinearCrossEntropy(**options, chunk_rows=chunk_rows)(outputs, batch), outputs)
    for got, wanted in zip(ours, gradients(from_logits(exact, batch, **options), exact), strict=True):
        torch.testing.assert_close(got.double(), wanted, rtol=0, atol=1e-6)


def test_float64_stays_float64(make_batch) -> None:
    batch = make_batch(missing=True)
    outputs = factors(batch, dtype=torch.float64)
    ours, theirs = LinearCrossEntropy(chunk_rows=7)(outputs, batch), from_logits(outputs, batch)
    torch.testing.assert_close(ours.sum, theirs.sum, rtol=1e-14, atol=0)
    for got, wanted in zip(gradients(ours, outputs), gradients(theirs, outputs), strict=True):
        torch.testing.assert_close(got, wanted, rtol=1e-12, atol=1e-15)


def test_bfloat16_is_as_near_to_float64_as_logits_in_bfloat16(make_batch) -> None:
    batch = make_batch(num_windows=32)
    outputs, exact = factors(batch), factors(batch, dtype=torch.float64)
    wanted = gradients(from_logits(exact, batch), exact)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        ours, theirs = LinearCrossEntropy(chunk_rows=50)(outputs, batch), from_logits(outputs, batch)
    assert ours.sum.dtype == torch.float32
    torch.testing.assert_close(ours.sum, theirs.sum, rtol=1e-4, atol=0)
    for got, usual, true in zip(gradients(ours, outputs), gradients(theirs, outputs), wanted, strict=True):
        assert got.dtype == torch.float32
        assert (got - true).norm() <= 1.1 * (usual - true).norm()


def test_features_of_any_layout_get_their_gradient(make_batch) -> None:
    batch = make_batch()
    outputs = factors(batch)
    last_first = outputs["features"].detach().permute(3, 2, 1, 0).contiguous().requires_grad_()
    LinearCrossEntropy()({**outputs, "features": last_first.permute(3, 2, 1, 0)}, batch).sum.backward()
    LinearCrossEntropy()(outputs, batch).sum.backward()
    assert torch.equal(last_first.grad.permute(3, 2, 1, 0), outputs["features"].grad)


def test_a_scaled_loss_has_scaled_gradients(make_batch) -> None:
    batch = make_batch()
    outputs = factors(batch)
    once = torch.autograd.grad(LinearCrossEntropy()(outputs, batch).sum, list(outputs.values()))
    scaled = torch.autograd.grad(1024 * LinearCrossEntropy()(outputs, batch).sum, list(outputs.values()))
    for small, large in zip(once, scaled, strict=True):
        assert torch.equal(1024 * small, large)


def test_gradients_of_micro_batches_add_up(make_batch) -> None:
    batches = [make_batch(seed) for seed in (0, 1)]
    outputs = factors(batches[0])
    for batch in batches:
        LinearCrossEntropy()(outputs, batch).sum.backward()
    both = sum(torch.autograd.grad(from_logits(outputs, batch).sum, [outputs["weight"]])[0] for batch in batches)
    torch.testing.assert_close(outputs["weight"].grad, both, rtol=1e-5, atol=1e-5)


def test_a_second_backward_pass_is_refused(make_batch) -> None:
    batch = make_batch()
    terms = LinearCrossEntropy()(factors(batch), batch)
    terms.sum.backward(retain_graph=True)
    with pytest.raises(RuntimeError, match="one backward pass"):
        terms.sum.backward()


def test_evaluation_forms_no_gradients(make_batch, monkeypatch) -> None:
    batch = make_batch()
    outputs = factors(batch)
    trained = LinearCrossEntropy()(outputs, batch)
    monkeypatch.setattr(torch.Tensor, "addmm_", None)  # the product of the weight's gradient
    with torch.no_grad():
        seen = LinearCrossEntropy()(outputs, batch)
    assert not seen.sum.requires_grad
    assert torch.equal(seen.sum, trained.sum)
    assert torch.equal(seen.scores.nll, trained.scores.nll)


def test_a_frozen_classifier_gets_no_gradient(make_batch) -> None:
    batch = make_batch()
    outputs, frozen = factors(batch), factors(batch)
    frozen["weight"].requires_grad_(False)
    for given in (outputs, frozen):
        LinearCrossEntropy()(given, batch).sum.backward()
    assert frozen["weight"].grad is None
    assert torch.equal(frozen["features"].grad, outputs["features"].grad)


def test_hidden_positions_cost_nothing_and_get_no_gradient(make_batch) -> None:
    batch = make_batch()
    batch["future_step_mask"][:, 2] = False
    batch["residue_mask"][:, 5:] = False
    outputs = factors(batch)
    outputs["features"].data[:, 2] = math.nan
    terms = LinearCrossEntropy()(outputs, batch)
    terms.sum.backward()
    assert int(terms.weight) == 4 * 2 * 5
    assert bool(terms.sum.isfinite())
    assert bool((outputs["features"].grad[:, 2] == 0).all())
    assert bool((outputs["features"].grad[:, :, 5:] == 0).all())
    assert bool((terms.scores.nll[:, 2] == 0).all())


def test_logits_far_apart_keep_a_finite_loss(make_batch) -> None:
    batch = make_batch()
    outputs = factors(batch)
    outputs["features"].data *= 1000
    terms, wanted = LinearCrossEntropy()(outputs, batch), from_logits(outputs, batch)
    torch.testing.assert_close(terms.sum, wanted.sum, rtol=1e-6, atol=0)
    assert float(terms.scores.nll.max()) > 104  # exp(-104) is 0 in float32


def test_a_certain_forecast_keeps_its_small_loss(make_batch) -> None:
    batch = make_batch()
    outputs = factors(batch, bias="none", width=11)
    outputs["weight"].data = torch.eye(11)
    right = torch.nn.functional.one_hot(batch["future_cluster_ids"], 11)
    outputs["features"].data = 1000.0 + 12.0 * right  # -log p is 6e-5, the spacing of float32 at 1000
    nll = LinearCrossEntropy()(outputs, batch).scores.nll
    torch.testing.assert_close(nll, torch.full_like(nll, math.log1p(10 * math.exp(-12))), rtol=0, atol=1e-6)


def test_two_runs_give_the_same_bits(make_batch) -> None:
    batch = make_batch(num_windows=16)
    runs = []
    for _ in range(2):
        outputs = factors(batch)
        terms = LinearCrossEntropy(chunk_rows=40)(outputs, batch)
        runs.append([terms.sum, *gradients(terms, outputs)])
    assert all(torch.equal(first, second) for first, second in zip(*runs, strict=True))


def test_it_works_under_deterministic_algorithms(make_batch) -> None:
    batch = make_batch()
    outputs = factors(batch)
    free = gradients(LinearCrossEntropy()(outputs, batch), outputs)
    was = torch.are_deterministic_algorithms_enabled()
    torch.use_deterministic_algorithms(True)
    try:
        bound = gradients(LinearCrossEntropy()(outputs, batch), outputs)
    finally:
        torch.use_deterministic_algorithms(was)
    assert all(torch.equal(first, second) for first, second in zip(free, bound, strict=True))


def test_the_logits_of_all_positions_are_never_made(make_batch) -> None:
    batch = make_batch(num_windows=8, num_residues=32)
    outputs = factors(batch)
    largest = _Largest()
    with largest:
        LinearCrossEntropy(chunk_rows=16)(outputs, batch).sum.backward()
    assert largest.numel == outputs["features"].numel()  # nothing above the inputs' size
    with largest:
        from_logits(outputs, batch).sum.backward()
    assert largest.numel == 8 * 3 * 32 * 11


def test_a_training_step_equals_that_of_masked_cross_entropy(make_trainer, make_batch) -> None:
    batches = [make_batch(seed, missing=True) for seed in range(4)]
    weights = []
    for loss in (MaskedCrossEntropy(label_smoothing=0.1), LinearCrossEntropy(label_smoothing=0.1, chunk_rows=16)):
        sgd = partial(registry.get("optimizer", "sgd"), learning_rate=0.1)
        trainer = make_trainer(loss=loss, optimizer=sgd, max_epochs=2, grad_accum_steps=2, dropout=0.0)
        trainer.fit(batches, batches)
        weights.append((trainer.model.state_dict(), trainer.val_logs))
    (first, val_logs), (second, our_val_logs) = weights
    for name, value in first.items():
        torch.testing.assert_close(second[name], value, rtol=1e-4, atol=1e-5)
    assert our_val_logs == pytest.approx(val_logs, rel=1e-5)


def test_chunks_of_no_rows_are_refused() -> None:
    with pytest.raises(ValueError, match="chunk_rows is 0"):
        LinearCrossEntropy(chunk_rows=0)


class _Largest(TorchDispatchMode):
    """Remembers the size of the largest floating-point tensor that an operation gave."""

    def __enter__(self):
        self.numel = 0
        return super().__enter__()

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        result = func(*args, **(kwargs or {}))
        for tensor in result if isinstance(result, tuple | list) else [result]:
            if isinstance(tensor, Tensor) and tensor.is_floating_point():
                self.numel = max(self.numel, tensor.numel())
        return result

"""Masked cross-entropy against hand-computed numbers and a slow float64 twin."""

import math

import pytest
import torch

from emprot_core import registry
from emprot_core.batch import target_mask
from emprot_core.contracts import UsesClassCounts
from emprot_core.training.sums import MetricSums

MaskedCrossEntropy = registry.get("loss", "MaskedCrossEntropy")
FocalCrossEntropy = registry.get("loss", "FocalCrossEntropy")
ClassBalanced = registry.get("loss", "ClassBalanced")


def slow_loss(logits, batch, smoothing=0.0, horizon_weights=None, class_weights=None) -> tuple[float, float]:
    total = weight = 0.0
    for b, f, n in target_mask(batch).nonzero().tolist():
        target = int(batch["future_cluster_ids"][b, f, n])
        log_p = logits[b, f, n].double().log_softmax(-1)
        w = (horizon_weights[f] if horizon_weights else 1.0) * (class_weights[target] if class_weights else 1.0)
        total += w * float(-(1 - smoothing) * log_p[target] - smoothing * log_p.mean())
        weight += w
    return total, weight


def test_uniform_logits_cost_the_log_of_the_number_of_classes(make_batch) -> None:
    batch = make_batch(num_clusters=8)
    terms = MaskedCrossEntropy()({"cluster_logits": torch.zeros(*batch["future_cluster_ids"].shape, 8)}, batch)
    assert float(terms.sum / terms.weight) == pytest.approx(math.log(8))


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"label_smoothing": 0.1},
        {"horizon_weights": [1.0, 0.5, 0.25]},
        {"class_weights": [0.5 + 0.1 * c for c in range(11)]},
        {"label_smoothing": 0.2, "horizon_weights": [1.0, 2.0, 0.0], "class_weights": [1.0] * 10 + [3.0]},
    ],
)
def test_loss_equals_a_slow_float64_computation(make_batch, options) -> None:
    batch = make_batch(missing=True)
    logits = torch.randn(*batch["future_cluster_ids"].shape, 11, dtype=torch.float64)
    terms = MaskedCrossEntropy(**options)({"cluster_logits": logits}, batch)
    wanted = slow_loss(
        logits, batch, options.get("label_smoothing", 0.0), options.get("horizon_weights"), options.get("class_weights")
    )
    assert float(terms.sum) == pytest.approx(wanted[0], rel=1e-12)
    assert float(terms.weight) == pytest.approx(wanted[1], rel=1e-12)


def test_loss_ignores_frames_past_the_trajectory_end_and_padded_residues(make_batch) -> None:
    batch = make_batch()
    batch["future_step_mask"][:, 2] = False
    batch["residue_mask"][:, 5:] = False
    logits = torch.randn(*batch["future_cluster_ids"].shape, 11, requires_grad=True)
    terms = MaskedCrossEntropy()({"cluster_logits": logits}, batch)
    terms.sum.backward()
    assert int(terms.weight) == 4 * 2 * 5
    assert bool((logits.grad[:, 2] == 0).all())
    assert bool((logits.grad[:, :, 5:] == 0).all())


def test_scores_are_the_plain_cross_entropy_whatever_the_objective(make_batch) -> None:
    batch = make_batch(missing=True)
    outputs = {"cluster_logits": torch.randn(*batch["future_cluster_ids"].shape, 11)}
    plain = MaskedCrossEntropy()(outputs, batch)
    smoothed = MaskedCrossEntropy(label_smoothing=0.3, horizon_weights=[1.0, 2.0, 3.0])(outputs, batch)
    assert torch.equal(plain.scores.nll, smoothed.scores.nll)
    assert float(plain.scores.nll.sum()) == pytest.approx(float(plain.sum), rel=1e-6)


def test_low_precision_logits_are_summed_in_float32(make_batch) -> None:
    batch = make_batch()
    logits = torch.randn(*batch["future_cluster_ids"].shape, 11).bfloat16()
    terms = MaskedCrossEntropy()({"cluster_logits": logits}, batch)
    assert terms.sum.dtype == torch.float32
    assert float(terms.sum) == pytest.approx(slow_loss(logits, batch)[0], rel=1e-5)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"label_smoothing": 1.0}, "label_smoothing is 1.0"),
        ({"horizon_weights": [1.0, -1.0, 1.0]}, "horizon_weights"),
    ],
)
def test_impossible_weights_are_refused_when_the_loss_is_made(options, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        MaskedCrossEntropy(**options)


def test_impossible_shapes_of_a_loss_are_refused() -> None:
    with pytest.raises(ValueError, match="gamma is -1"):
        FocalCrossEntropy(gamma=-1)
    with pytest.raises(ValueError, match="beta is 1"):
        ClassBalanced(beta=1)


def test_weights_of_the_wrong_length_are_refused(make_batch) -> None:
    batch = make_batch()
    outputs = {"cluster_logits": torch.zeros(*batch["future_cluster_ids"].shape, 11)}
    with pytest.raises(ValueError, match="horizon_weights has 2 weights, expected 3"):
        MaskedCrossEntropy(horizon_weights=[1.0, 1.0])(outputs, batch)
    with pytest.raises(ValueError, match="class_weights has 2 weights, expected 11"):
        MaskedCrossEntropy(class_weights=[1.0, 1.0])(outputs, batch)


def test_focal_loss_of_one_position_by_hand(make_batch) -> None:
    batch = make_batch(num_windows=1, horizon=1, num_residues=1, num_clusters=2)
    target = int(batch["future_cluster_ids"])
    logits = torch.zeros(1, 1, 1, 2)
    logits[..., target] = math.log(4)  # p(target) = 4/5
    terms = FocalCrossEntropy(gamma=2.0)({"cluster_logits": logits}, batch)
    assert float(terms.sum) == pytest.approx(0.2**2 * math.log(5 / 4))
    assert float(terms.weight) == 1.0
    assert float(terms.scores.nll) == pytest.approx(math.log(5 / 4))


def test_focal_loss_without_focus_is_the_cross_entropy(make_batch) -> None:
    batch = make_batch(missing=True)
    outputs = {"cluster_logits": torch.randn(*batch["future_cluster_ids"].shape, 11)}
    weights = {"horizon_weights": [1.0, 0.5, 2.0], "class_weights": [1.0] * 10 + [3.0]}
    focal, plain = (
        FocalCrossEntropy(gamma=0.0, **weights)(outputs, batch),
        MaskedCrossEntropy(**weights)(outputs, batch),
    )
    torch.testing.assert_close(focal.sum, plain.sum)
    assert torch.equal(focal.weight, plain.weight)


@pytest.mark.parametrize("gamma", [0.0, 0.5, 1.0, 2.0])
def test_focal_gradients_stay_finite_where_the_model_is_certain(make_batch, gamma: float) -> None:
    batch = make_batch(missing=True)
    logits = torch.nn.functional.one_hot(batch["future_cluster_ids"].clamp_min(0), 11).float() * 1000
    logits.requires_grad_()
    FocalCrossEntropy(gamma=gamma)({"cluster_logits": logits}, batch).sum.backward()
    assert bool(logits.grad.isfinite().all())


def test_focal_gradient_is_that_of_its_sum(make_batch) -> None:
    batch = make_batch(num_windows=1, num_residues=2, num_clusters=4, missing=True)
    logits = torch.randn(*batch["future_cluster_ids"].shape, 4, dtype=torch.float64, requires_grad=True)
    focal = FocalCrossEntropy(gamma=1.5)
    assert torch.autograd.gradcheck(lambda x: focal({"cluster_logits": x}, batch).sum, (logits,))


def test_balanced_classes_weigh_by_their_effective_number(make_batch) -> None:
    batch = make_batch(num_clusters=3)
    counts = torch.tensor([1, 10, 0])
    balanced = ClassBalanced(beta=0.9)
    assert isinstance(balanced, UsesClassCounts)  # jobs.Train asks this
    balanced.use_class_counts(counts)
    raw = [1.0, 0.1 / (1 - 0.9**10), 1.0]  # a class that was never seen counts as one seen once
    scale = 11 / (raw[0] + 10 * raw[1])  # mean 1 over the training targets
    outputs = {"cluster_logits": torch.randn(*batch["future_cluster_ids"].shape, 3)}
    by_hand = MaskedCrossEntropy(class_weights=[scale * w for w in raw])(outputs, batch)
    terms = balanced(outputs, batch)
    torch.testing.assert_close(terms.sum, by_hand.sum)
    torch.testing.assert_close(terms.weight, by_hand.weight)


@pytest.mark.parametrize("name", ["FocalCrossEntropy", "LinearCrossEntropy"])
def test_balance_goes_with_other_losses(make_batch, name: str) -> None:
    batch = make_batch()
    outputs = {
        "features": torch.randn(*batch["future_cluster_ids"].shape, 4),
        "weight": torch.randn(11, 4),
        "bias": None,
    }
    outputs["cluster_logits"] = outputs["features"] @ outputs["weight"].t()
    balanced = ClassBalanced(registry.get("loss", name)())
    balanced.use_class_counts(torch.arange(11))
    plain = registry.get("loss", name)()
    assert balanced.inputs == plain.inputs
    assert float(balanced(outputs, batch).weight) != float(plain(outputs, batch).weight)
    assert torch.equal(balanced(outputs, batch).scores.nll, plain(outputs, batch).scores.nll)


def test_balance_without_counts_is_an_error(make_batch) -> None:
    batch = make_batch()
    outputs = {"cluster_logits": torch.zeros(*batch["future_cluster_ids"].shape, 11)}
    with pytest.raises(ValueError, match="no class counts"):
        ClassBalanced()(outputs, batch)
    with pytest.raises(ValueError, match="counts are all 0"):
        ClassBalanced().use_class_counts(torch.zeros(11, dtype=torch.long))


def test_balance_refuses_a_loss_that_has_class_weights_or_takes_none() -> None:
    with pytest.raises(ValueError, match="class_weights of its own"):
        ClassBalanced(MaskedCrossEntropy(class_weights=[1.0] * 11)).use_class_counts(torch.arange(11))
    with pytest.raises(ValueError, match="use_class_weights"):
        ClassBalanced(object())


def test_metrics_count_right_positions_per_horizon(make_batch) -> None:
    batch = make_batch()
    logits = torch.nn.functional.one_hot(batch["future_cluster_ids"], 11).double() * 50
    logits[:, 1] = -logits[:, 1]  # the second step is always wrong
    terms = MaskedCrossEntropy()({"cluster_logits": logits}, batch)
    sums = MetricSums()
    for name in ("TokenAccuracy", "HorizonAccuracy", "HorizonNLL"):
        metric = registry.get("metric", name)()
        sums.add({metric.name: metric({}, batch, terms.scores)})
    means = sums.means()
    assert means["token_accuracy"] == pytest.approx(2 / 3)
    assert [means[f"accuracy/h{h}"] for h in (1, 2, 3)] == [1.0, 0.0, 1.0]
    assert means["nll_bits/h1"] == pytest.approx(0.0, abs=1e-12)
    assert means["nll_bits/h2"] == pytest.approx((50 + math.log(10)) / math.log(2), rel=1e-6)

"""KL to the exact distribution: by hand, its zero, what it leaves out, what it asks for."""

import math

import pytest
import torch

from emprot_core import registry
from emprot_core.contracts import TokenScores

ExactKL = registry.get("metric", "ExactKL")


def scores(shape) -> TokenScores:
    return TokenScores(torch.ones(shape, dtype=torch.bool), torch.zeros(shape), torch.zeros(shape, dtype=torch.long))


def test_it_equals_a_hand_computed_divergence_in_bits() -> None:
    exact = torch.tensor([[[0.5, 0.5, 0.0], [0.0, 1.0, 0.0]]])
    model = torch.tensor([[[0.25, 0.25, 0.5], [0.25, 0.5, 0.25]]])
    total, weight = ExactKL()({"cluster_logits": model.log()[:, None]}, {"next_distribution": exact}, scores((1, 1, 2)))
    assert float(total) == pytest.approx(1.0 + 1.0)
    assert int(weight) == 2


def test_it_is_zero_for_the_exact_logits_and_reads_the_first_horizon_alone() -> None:
    exact = torch.rand(2, 5, 4, generator=torch.Generator().manual_seed(0)).softmax(-1)
    logits = torch.stack([exact.log() + 3.0, torch.zeros_like(exact)], dim=1)
    total, weight = ExactKL()({"cluster_logits": logits}, {"next_distribution": exact}, scores((2, 2, 5)))
    assert abs(float(total)) < 1e-5
    assert int(weight) == 10


def test_positions_outside_the_target_mask_do_not_count() -> None:
    exact = torch.tensor([[[1.0, 0.0], [1.0, 0.0]]])
    logits = torch.tensor([[[[0.0, 0.0], [-9.0, 9.0]]]])
    counted = scores((1, 1, 2))
    counted.mask[0, 0, 1] = False
    total, weight = ExactKL()({"cluster_logits": logits}, {"next_distribution": exact}, counted)
    assert (float(total), int(weight)) == (pytest.approx(math.log2(2)), 1)


def test_a_batch_without_the_distribution_is_refused() -> None:
    with pytest.raises(ValueError, match=r"needs the exact distribution.*'input_cluster_ids'.*use data.Synthetic"):
        ExactKL()({"cluster_logits": torch.zeros(1, 1, 2, 3)}, {"input_cluster_ids": None}, scores((1, 1, 2)))


def test_a_loss_that_gives_no_logits_is_refused() -> None:
    batch = {"next_distribution": torch.zeros(1, 2, 3)}
    with pytest.raises(ValueError, match=r"needs cluster_logits.*'features'.*use a loss that reads logits"):
        ExactKL()({"features": torch.zeros(1, 1, 2, 3)}, batch, scores((1, 1, 2)))
